/*-------------------------------------------------------------------------
 *
 * test_verification.c
 *	  The state of a verification, and what may be done with it.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "core/verification.h"
#include "tap.h"

#define SECOND INT64_C(1000000)
#define NOW (1000 * SECOND)

static void
test_names(void)
{
	PnvsVerificationState state;

	for (int i = 0; i < PNVS_VERIFICATION_STATES; i++)
	{
		const char *name = pnvs_verification_state_name((PnvsVerificationState) i);

		tap_ok(pnvs_verification_state_by_name(name, &state) && (int) state == i,
			   "the state \"%s\" is found by its name", name);
	}
	tap_ok(!pnvs_verification_state_by_name("approve", &state), "part of a name is no state");
	tap_ok(!pnvs_verification_state_by_name("", &state), "an empty name is no state");
}

static void
test_states(void)
{
	static const struct
	{
		PnvsVerificationFacts facts;
		const char *expected;
		const char *sentence;
	}			cases[] = {
		{{PNVS_VERIFICATION_PENDING, false, false, 0, 5, NOW + 1}, "pending", "until its last moment"},
		{{PNVS_VERIFICATION_PENDING, false, false, 0, 5, NOW}, "expired", "when its time is over"},
		{{PNVS_VERIFICATION_PENDING, false, true, 0, 5, NOW + 1}, "failed", "if no message was sent"},
		{{PNVS_VERIFICATION_PENDING, false, true, 0, 5, NOW}, "expired", "if its time is over, too"},
		{{PNVS_VERIFICATION_PENDING, false, false, 4, 5, NOW + 1}, "pending", "with a try left"},
		{{PNVS_VERIFICATION_PENDING, false, false, 5, 5, NOW + 1}, "max_tries", "without a try left"},
		{{PNVS_VERIFICATION_PENDING, false, false, 6, 5, NOW + 1}, "max_tries", "if the setting was lowered"},
		{{PNVS_VERIFICATION_PENDING, false, false, 5, 5, NOW}, "max_tries", "also after its time"},
		{{PNVS_VERIFICATION_PENDING, true, false, 0, 5, NOW + 1}, "canceled", "in a copy of the database"},
		{{PNVS_VERIFICATION_APPROVED, true, false, 0, 5, NOW + 1}, "canceled", "approved, in a copy"},
		{{PNVS_VERIFICATION_USED, true, false, 0, 5, NOW + 1}, "used", "used, in a copy"},
		{{PNVS_VERIFICATION_APPROVED, false, true, 5, 5, NOW}, "approved", "once approved, whatever comes"},
		{{PNVS_VERIFICATION_USED, false, false, 0, 5, NOW}, "used", "once used"},
		{{PNVS_VERIFICATION_MAX_TRIES, false, false, 3, 20, NOW + 1}, "max_tries", "if the setting was raised"},
		{{PNVS_VERIFICATION_CANCELED, false, false, 0, 5, NOW + 1}, "canceled", "once canceled"},
		{{PNVS_VERIFICATION_REFUSED, true, false, 0, 5, NOW}, "refused", "once refused"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
		tap_text(pnvs_verification_state_name(pnvs_verification_state(&cases[i].facts, NOW)),
				 cases[i].expected, "%s: %s", cases[i].expected, cases[i].sentence);
}

static void
test_resends(void)
{
	tap_ok(pnvs_verification_resend_us(NOW, NOW) == NOW + 30 * SECOND,
		   "the next message may be sent in 30 s");
	tap_ok(pnvs_verification_resend_us(NOW + 29 * SECOND, NOW) == NOW + 30 * SECOND,
		   "and not before if there is room sooner");
	tap_ok(pnvs_verification_resend_us(NOW + 31 * SECOND, NOW) == NOW + 31 * SECOND,
		   "or when there is room");
	tap_ok(pnvs_verification_resend_us(INT64_MAX, NOW) == INT64_MAX, "or never");
	tap_ok(pnvs_verification_next_position(0, 1) == 0, "the only channel is the next, too");
	tap_ok(pnvs_verification_next_position(0, 3) == 1, "the second channel comes after the first");
	tap_ok(pnvs_verification_next_position(1, 3) == 2, "the third after the second");
	tap_ok(pnvs_verification_next_position(2, 3) == 2, "and then it stays");
	tap_ok(pnvs_verification_tries_left(0, 5) == 5 && pnvs_verification_tries_left(5, 5) == 0 &&
		   pnvs_verification_tries_left(7, 5) == 0, "tries are left down to none");
}

int
main(void)
{
	test_names();
	test_states();
	test_resends();
	return tap_done();
}
