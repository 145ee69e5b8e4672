/*-------------------------------------------------------------------------
 *
 * test_channel_list.c
 *	  Lists of channels.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "core/channel_list.h"
#include "exact.h"
#include "tap.h"

#define SMS PNVS_CHANNEL_BIT(PNVS_SMS)
#define VOICE PNVS_CHANNEL_BIT(PNVS_VOICE)
#define WHATSAPP PNVS_CHANNEL_BIT(PNVS_WHATSAPP)

int
main(void)
{
	static const struct
	{
		const char *text;
		uint32_t	expected;	/* 0: it is refused */
	}			cases[] = {
		{"SMS, VOICE, WHATSAPP", SMS | VOICE | WHATSAPP},
		{"SMS", SMS},
		{"voice", VOICE},
		{" WhatsApp ,SMS,", SMS | WHATSAPP},
		{"SMS VOICE", SMS | VOICE},
		{"SMS SMS", SMS},
		{"", 0},
		{" , ", 0},
		{"SMSX", 0},
		{"SM", 0},
		{"SMS; VOICE", 0},
		{"SMS, FAX", 0},
		{"any", 0},
		{"SMS, averylongwordindeed", 0},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *text = exact_copy(cases[i].text);
		uint32_t	channels;
		bool		valid = pnvs_channel_list_parse(text, &channels);

		tap_int(valid ? channels : 0, cases[i].expected, "the channels of \"%s\"", cases[i].text);
		free(text);
	}
	return tap_done();
}
