/*
 * Jdbc.java: pnvs from PostgreSQL's JDBC driver.
 */
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.time.OffsetDateTime;
import java.util.Objects;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

public class Jdbc {
	static final String SERVICE = "FA1";
	static final String START = "SELECT * FROM pnvs.start_verification(?, ?, ?)";
	static final String CHECK = "SELECT * FROM pnvs.check_verification(?, ?, ?)";
	static final int QUICK_MS = 1000;
	static final int DEADLINE_MS = 20000;

	static int count = 0;
	static boolean failed = false;

	static void ok(boolean condition, String sentence, Object details) {
		count++;
		System.out.println((condition ? "ok " : "not ok ") + count + " - " + sentence);
		if (!condition) {
			failed = true;
			System.out.println("# " + details);
		}
	}

	static void is(Object got, Object expected, String sentence) {
		ok(Objects.equals(got, expected), sentence, "got " + got + ", expected " + expected);
	}

	static void begins(String got, String expected, String sentence) {
		ok(got != null && got.startsWith(expected), sentence, "got " + got + ", expected " + expected + " ...");
	}

	static Connection connect() throws SQLException {
		return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT")
				+ "/" + System.getenv("PGDATABASE") + "?user=" + System.getenv("PGUSER"));
	}

	/* The first row of a statement's result. */
	static ResultSet row(Connection connection, String sql, Object... values) throws SQLException {
		PreparedStatement statement = connection.prepareStatement(sql);

		for (int i = 0; i < values.length; i++)
			statement.setObject(i + 1, values[i]);
		ResultSet result = statement.executeQuery();
		if (!result.next())
			throw new IllegalStateException("no row: " + sql);
		return result;
	}

	static Object value(Connection connection, String sql, Object... values) throws SQLException {
		return row(connection, sql, values).getObject(1);
	}

	static PSQLException errorOf(Connection connection, String sql, Object... values) throws SQLException {
		try {
			row(connection, sql, values);
		} catch (PSQLException error) {
			return error;
		}
		throw new IllegalStateException("no error came: " + sql);
	}

	static void signUp(Connection connection) throws SQLException {
		String number = "+62 811-0005-0001";
		ResultSet started = row(connection, START, "SMS", number, SERVICE);

		is(started.getObject("success"), true, "start_verification sends: success is a Boolean");
		is(started.getObject("http_status"), 200, "http_status is an Integer");
		is(started.getObject("verify_code"), null, "a NULL is null");

		String verification = started.getString("verification_id");
		String code = (String) value(connection, "SELECT phone.code(?)", "6281100050001");
		String wrong = code.substring(0, code.length() - 1) + (code.charAt(code.length() - 1) - '0' + 1) % 10;

		is(row(connection, CHECK, wrong, verification, number).getObject("approved"), false,
				"a wrong code is a row: approved is false");
		is(row(connection, CHECK, code, verification, number).getObject("approved"), true,
				"the right code is approved");
		is(value(connection, "SELECT phone.messages(?)", "6281100050001"), 1, "one message went out");

		ResultSet packed = row(connection, "SELECT pnvs.start_verification(?, ?, ?)", "SMS", number, SERVICE);

		is(packed.getMetaData().getColumnType(1), Types.STRUCT, "a function outside FROM returns a STRUCT");
		is(packed.getObject(1).getClass().getSimpleName(), "PGobject", "which the driver has as a PGobject of text");
	}

	/* Until a statement says true. */
	static void waitFor(Connection connection, String sql, Object... values) throws SQLException, InterruptedException {
		long deadline = System.currentTimeMillis() + DEADLINE_MS;

		while (!value(connection, sql, values).equals(true)) {
			if (System.currentTimeMillis() > deadline)
				throw new IllegalStateException("timed out: " + sql);
			Thread.sleep(10);
		}
	}

	/* From beginning to end. */
	static void verify(Connection connection) throws SQLException, InterruptedException {
		String number = "6281100050007";
		String begin = "SELECT * FROM pnvs.begin_verification(?, ?, 'sign-up', service_sid => ?)";
		String confirm = "SELECT * FROM pnvs.confirm_verification(?, ?)";
		ResultSet begun = row(connection, begin, number, connection.createArrayOf("text", new String[] { "SMS" }), SERVICE);
		Object id = begun.getObject("id");

		is(begun.getString("state"), "pending", "createArrayOf() makes the channels");
		is(id.getClass(), java.util.UUID.class, "a verification's ID is a UUID");
		is(errorOf(connection, confirm, id.toString(), "123456").getSQLState(), "42883", "a String is none");
		waitFor(connection, "SELECT phone.messages(?) = 1", number);

		Object code = value(connection, "SELECT phone.code(?)", number);

		waitFor(connection, "SELECT retry_after IS NULL FROM pnvs.confirm_verification(?::uuid, ?)", id.toString(), code);
		is(value(connection, "SELECT state FROM pnvs.phone_verification_status(?)", id), "approved", "with a cast it is");
		is(value(connection, "SELECT pnvs.use_verification(?, 'sign-up')", id), "+" + number, "use_verification gives the number");
		is(value(connection, "SELECT pnvs.use_verification(?, 'sign-up')", id), null, "once");
	}

	static void types(Connection connection) throws SQLException {
		String enqueue = "SELECT pnvs.enqueue_verification('SMS', '6281100050002', 'FA1', send_within => ?)";

		is(errorOf(connection, enqueue, "2 minutes").getSQLState(), "42883", "a String is no interval");

		Object message = value(connection, enqueue.replace("?", "?::interval"), "2 minutes");

		is(message.getClass(), Long.class, "with a cast it is, and the ID is a Long");
		is(errorOf(connection, "SELECT pnvs.await_verification(?)", message.toString()).getSQLState(), "42883",
				"a String is no ID");
		is(row(connection, "SELECT * FROM pnvs.await_verification(?)", message).getString("state"), "sent",
				"await_verification takes the Long");
	}

	/* The notification of a message; others' may come before it. */
	static String heard(Connection listener, Object message) throws SQLException {
		PGConnection driver = listener.unwrap(PGConnection.class);
		long deadline = System.currentTimeMillis() + DEADLINE_MS;

		while (System.currentTimeMillis() < deadline)
			for (PGNotification notification : driver.getNotifications(DEADLINE_MS))
				if (notification.getParameter().contains("{\"id\":" + message + ","))
					return notification.getParameter();
		throw new IllegalStateException("no notification came");
	}

	static void listen(Connection connection) throws SQLException {
		try (Connection listener = connect()) {
			listener.createStatement().execute("LISTEN pnvs_verification");

			Object message = value(connection, "SELECT pnvs.enqueue_verification('SMS', ?, 'FA1')", "6281100050003");

			is(heard(listener, message), "{\"id\":" + message + ",\"state\":\"sent\"}",
					"getNotifications() says what became of the queued message");

			ResultSet row = row(listener, "SELECT * FROM pnvs.verification_queue WHERE id = ?", message);

			is(row.getString("state"), "sent", "the row says the same");
			ok(row.getObject("settled_at", OffsetDateTime.class) != null, "a timestamptz is an OffsetDateTime", null);
		}
	}

	static void seeNotSent(Connection connection) throws SQLException {
		connection.setAutoCommit(false);
		value(connection, "SELECT set_config('pnvs.endpoint', ?, true)", System.getenv("UNREACHABLE"));

		PSQLException error = errorOf(connection, START, "SMS", "6281100050004", SERVICE);

		connection.rollback();
		connection.setAutoCommit(true);
		is(error.getSQLState(), "38V01", "not sent: getSQLState() is 38V01");
		begins(error.getServerErrorMessage().getDetail(), "sent=no stage=connect",
				"not sent: getServerErrorMessage().getDetail() says so");
		is(value(connection, "SELECT phone.messages(?)", "6281100050004"), 0, "not sent: no message went out");
	}

	static void seeMaybeSent(Connection connection) throws SQLException {
		PSQLException error = errorOf(connection, START, "SMS", "6281100050005", "sim:close");

		is(error.getSQLState(), "38V02", "maybe sent: getSQLState() is 38V02");
		begins(error.getServerErrorMessage().getDetail(), "sent=maybe stage=reply",
				"maybe sent: getServerErrorMessage().getDetail() says so");
		is(connection.isClosed(), false, "maybe sent: the connection stays open");
		is(value(connection, "SELECT phone.messages(?)", "6281100050005"), 1, "maybe sent: nothing was repeated");
	}

	static void cancel(Connection connection) throws Exception {
		String number = "6281100050006";
		Statement statement = connection.createStatement();
		long[] begun = new long[1];
		Thread watch = new Thread(() -> {
			try (Connection watcher = connect()) {
				long deadline = System.currentTimeMillis() + DEADLINE_MS;

				while (!value(watcher, "SELECT phone.requests(?)", number).equals(1)
						&& System.currentTimeMillis() < deadline)
					Thread.sleep(10);
				begun[0] = System.currentTimeMillis();
				statement.cancel();
			} catch (Exception error) {
				throw new IllegalStateException(error);
			}
		});

		watch.start();
		try {
			statement.executeQuery("SELECT * FROM pnvs.start_verification('SMS', '" + number + "', 'sim:hang')");
			throw new IllegalStateException("no error came");
		} catch (PSQLException error) {
			long took = System.currentTimeMillis() - begun[0];
			ServerErrorMessage message = error.getServerErrorMessage();

			ok(took < QUICK_MS, "Statement.cancel() ends a call that hangs", took);
			is(error.getSQLState(), "57014", "cancelled: getSQLState() is 57014");
			begins(message.getWhere(), "call of the verification service: sent=maybe stage=reply",
					"cancelled: getServerErrorMessage().getWhere() says that it may have been sent");
		}
		watch.join();
		is(value(connection, "SELECT 1"), 1, "cancelled: the connection goes on");
	}

	static void timeOut(Connection connection) throws SQLException {
		try (Statement statement = connection.createStatement()) {
			statement.setQueryTimeout(1);
			statement.executeQuery("SELECT * FROM pnvs.start_verification('SMS', '6281100050007', 'sim:hang')");
		} catch (PSQLException error) {
			is(error.getSQLState(), "57014", "setQueryTimeout() cancels a call, too");
			return;
		}
		throw new IllegalStateException("no error came");
	}

	/* The plan comes last: without it, the program did not come to its end. */
	public static void main(String[] arguments) throws Exception {
		try (Connection connection = connect()) {
			signUp(connection);
			verify(connection);
			types(connection);
			listen(connection);
			seeNotSent(connection);
			seeMaybeSent(connection);
			cancel(connection);
			timeOut(connection);
		}
		System.out.println("1.." + count);
		System.exit(failed ? 1 : 0);
	}
}
