/*-------------------------------------------------------------------------
 *
 * channel_list.c
 *	  Reads a list of channels, such as "SMS, VOICE".
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/ascii.h"
#include "core/channel_list.h"
#include "core/operation.h"

/* Longer than the name of any channel. */
#define NAME_SIZE 16

/* False if the list is empty or has another word than a channel. */
bool
pnvs_channel_list_parse(const char *text, uint32_t *channels)
{
	size_t		len;

	*channels = 0;
	while ((len = pnvs_ascii_next_word(&text)) > 0)
	{
		char		name[NAME_SIZE];
		PnvsChannelWord word;

		if (len >= sizeof(name))
			return false;
		memcpy(name, text, len);
		name[len] = '\0';
		word = pnvs_operation_channel_word(name);
		if (word == PNVS_ANY_CHANNEL)
			return false;
		*channels |= PNVS_CHANNEL_BIT(word);
		text += len;
	}
	return *channels != 0;
}
