/*-------------------------------------------------------------------------
 *
 * service_checks.c
 *	  Checks codes, and remembers which.
 *
 * The code of a message is made of its number and of how many messages that number has
 * had: whoever has read the log of accepted messages knows it, as the phone's owner does.
 * A code is approved once; after that it is as good as a wrong one.
 *
 * The log of checks has, for each that was read, five integers of 64 bits: the number, the
 * message's serial number, the code, the verdict and the time.
 *
 * Functions return 0, or -1 if something is wrong.
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "service_accepted.h"
#include "service_checks.h"
#include "service_query.h"

#define LOG_RECORDS 256
#define CODES 1000000

typedef enum Verdict
{
	WRONG,
	APPROVED,
	SPENT,						/* it was approved before */
	NOT_JUDGED,					/* refused, or dropped: nobody has looked at the code */
	UNKNOWN						/* there is no such message */
} Verdict;

static int64_t log_records[LOG_RECORDS][5];
static int	nlog_records;
static int	log_fd;

static Verdict judge(int64_t number, int64_t serial, int64_t code);
static int64_t code_of(const Accepted *message);

int
checks_open(const char *log)
{
	char		name[4096];

	if (snprintf(name, sizeof(name), "%s.checks", log) >= (int) sizeof(name))
		return -1;
	log_fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return log_fd >= 0 ? 0 : -1;
}

/* Judges, unless the mood is against it; body: the answer. */
int
checks_answer(const char *query, const Mood *mood, int64_t now_ns, char *body, size_t size)
{
	const char *id = service_parameter(query, "VerificationId=V");
	const char *typed = service_parameter(query, "Code=");
	int64_t		number = id ? strtoll(id, NULL, 10) : 0;
	int64_t		serial = service_serial(query);
	int64_t		code = typed ? strtoll(typed, NULL, 10) : -1;
	Verdict		verdict = mood->acceptance == NEVER ? NOT_JUDGED : judge(number, serial, code);
	int64_t    *record = log_records[nlog_records++];

	record[0] = number;
	record[1] = serial;
	record[2] = code;
	record[3] = verdict;
	record[4] = now_ns;
	snprintf(body, size, "{\"RequestId\":\"9D5A1A7E\",\"Message\":\"OK\",\"Model\":{\"phoneNumber\":\"%lld\","
			 "\"channel\":\"SMS\",\"verificationId\":\"V%lld-%lld\",\"status\":\"%s\"},"
			 "\"Code\":\"OK\",\"Success\":\"true\"}", (long long) number, (long long) number,
			 (long long) serial, verdict == APPROVED ? "approved" : "pending");
	return nlog_records == LOG_RECORDS ? checks_flush() : 0;
}

int
checks_flush(void)
{
	ssize_t		len = nlog_records * (ssize_t) sizeof(log_records[0]);

	nlog_records = 0;
	return len == 0 || write(log_fd, log_records, len) == len ? 0 : -1;
}

static Verdict
judge(int64_t number, int64_t serial, int64_t code)
{
	Accepted   *message = accepted_find(number, serial);

	if (message == NULL)
		return UNKNOWN;
	if (code != code_of(message))
		return WRONG;
	if (message->approved)
		return SPENT;
	message->approved = 1;
	return APPROVED;
}

/* The same as code_of() in soak_checks.py. */
static int64_t
code_of(const Accepted *message)
{
	return (message->number * 7919 + message->nth * INT64_C(104729)) % CODES;
}
