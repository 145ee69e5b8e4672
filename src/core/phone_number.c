/*-------------------------------------------------------------------------
 *
 * phone_number.c
 *	  Normalises, compares and masks phone numbers.
 *
 * A number is checked by its form (ITU-T E.164), its separators and the zeros after its
 * calling code, and by nothing else: the ranges in use change every week, and the service
 * knows them better.
 *
 * A notation with one meaning is accepted: digits of any script, any hyphen or space,
 * invisible characters.  A notation that could mean two numbers is refused, for a guess
 * could send a code to a stranger.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/calling_codes.h"
#include "core/phone_number.h"
#include "core/unicode.h"

/* How many digits a mask shows at the end of a number, and how many it hides. */
#define MASK_TAIL 2
#define MASK_HIDDEN 4

/* So many digits after a dot can be a fraction; a group of digits has more. */
#define MAX_DECIMALS 2

/* The state of reading a number. */
typedef struct Reading
{
	char		digits[PNVS_PHONE_NUMBER_SIZE];
	size_t		ndigits;		/* those that do not fit are counted, too */
	uint32_t	gaps;			/* bit n: a separator stands before digit n */
	size_t		group_start;	/* digits before the open parenthesis */
	bool		in_group;
	bool		seen_plus;
	bool		seen_point;
} Reading;

static const char *skip_scheme(const char *text);
static PnvsPhoneNumberFault read_number(Reading *reading, const char *text);
static PnvsPhoneNumberFault read_character(Reading *reading, uint32_t character, const char *rest);
static void add_digit(Reading *reading, int digit);
static void add_gap(Reading *reading);
static PnvsPhoneNumberFault close_group(Reading *reading);
static PnvsPhoneNumberFault add_point(Reading *reading, bool separates, const char *rest);
static PnvsPhoneNumberFault foreign_character(const Reading *reading, uint32_t character,
											  const char *rest);
static PnvsPhoneNumberFault judge(const Reading *reading);
static bool has_trunk_zero(const Reading *reading);
static const char *next_visible(const char *text, uint32_t *character);
static bool is_fraction(const char *text, bool grouped);
static bool is_exponent(const char *text);

/*
 * Writes the digits of a number in UTF-8, as people write and paste it: with or without a
 * leading plus sign or "tel:", with spaces, hyphens, dots and parentheses between the
 * digits.  out has 7 to 15 digits if the result is PNVS_PHONE_NUMBER_OK, and is empty
 * otherwise.
 */
PnvsPhoneNumberFault
pnvs_phone_number_normalise(const char *text, char out[PNVS_PHONE_NUMBER_SIZE])
{
	Reading		reading = {0};
	PnvsPhoneNumberFault fault = read_number(&reading, skip_scheme(text));

	if (fault == PNVS_PHONE_NUMBER_OK)
		fault = judge(&reading);
	memcpy(out, reading.digits, PNVS_PHONE_NUMBER_SIZE);
	if (fault != PNVS_PHONE_NUMBER_OK)
		out[0] = '\0';
	return fault;
}

/* Whether two texts in UTF-8 have the same digits: one number in two notations. */
bool
pnvs_phone_number_same_digits(const char *one, const char *other)
{
	const char *text[] = {one, other};
	int			digit[2];

	do
	{
		for (int i = 0; i < 2; i++)
		{
			uint32_t	character;

			do
			{
				text[i] = pnvs_unicode_next(text[i], &character);
				digit[i] = pnvs_unicode_digit(character);
			} while (digit[i] < 0 && character != 0);
		}
		if (digit[0] != digit[1])
			return false;
	} while (digit[0] >= 0);
	return true;
}

/*
 * Writes a normalised number as it may be shown: "6281234567890" as "6281234****90".  Of
 * a text that is shorter or longer than a number, nothing is shown.
 */
void
pnvs_phone_number_mask(const char *digits, char out[PNVS_PHONE_NUMBER_SIZE])
{
	size_t		len = strlen(digits);

	if (len < PNVS_PHONE_NUMBER_MIN_DIGITS || len > PNVS_PHONE_NUMBER_MAX_DIGITS)
	{
		memcpy(out, "****", sizeof("****"));
		return;
	}
	memcpy(out, digits, len + 1);
	memset(out + len - MASK_TAIL - MASK_HIDDEN, '*', MASK_HIDDEN);
}

/* Drops "tel:" (RFC 3966, section 3: in any case) and the space before it. */
static const char *
skip_scheme(const char *text)
{
	static const char scheme[] = "tel:";
	const char *start = text;
	const char *next;
	uint32_t	character;

	while ((next = pnvs_unicode_next(start, &character)) != start &&
		   pnvs_unicode_is_ignorable(character))
		start = next;
	for (size_t i = 0; scheme[i]; i++)
	{
		start = next_visible(start, &character);
		if (character >= 'A' && character <= 'Z')
			character += 'a' - 'A';
		if (character != (uint32_t) scheme[i])
			return text;
	}
	return start;
}

static PnvsPhoneNumberFault
read_number(Reading *reading, const char *text)
{
	for (;;)
	{
		uint32_t	character;
		PnvsPhoneNumberFault fault;

		text = next_visible(text, &character);
		if (character == 0)
			return PNVS_PHONE_NUMBER_OK;
		fault = read_character(reading, character, text);
		if (fault != PNVS_PHONE_NUMBER_OK)
			return fault;
	}
}

/* One character of a number; rest is what follows it. */
static PnvsPhoneNumberFault
read_character(Reading *reading, uint32_t character, const char *rest)
{
	int			digit = pnvs_unicode_digit(character);

	if (digit >= 0)
	{
		add_digit(reading, digit);
		return PNVS_PHONE_NUMBER_OK;
	}
	if (character == '+')
	{
		if (reading->seen_plus || reading->ndigits > 0)
			return PNVS_PHONE_NUMBER_MISPLACED_PLUS;
		reading->seen_plus = true;
		return PNVS_PHONE_NUMBER_OK;
	}
	if (character == ')' || character == ']')
		return close_group(reading);
	if (character == '.' || character == ',' || character == 0x066B)
		return add_point(reading, character == '.', rest);
	if (character == '(' || character == '[')
	{
		reading->in_group = true;
		reading->group_start = reading->ndigits;
	}
	else if (pnvs_unicode_is_line_break(character))
	{
		/*
		 * Between digits it can separate two numbers.
		 */
		if ((reading->ndigits > 0 || reading->seen_plus) && !pnvs_unicode_is_blank(rest))
			return PNVS_PHONE_NUMBER_BAD_CHARACTER;
	}
	else if (!pnvs_unicode_is_space(character) && !pnvs_unicode_is_hyphen(character))
		return foreign_character(reading, character, rest);
	add_gap(reading);
	return PNVS_PHONE_NUMBER_OK;
}

static void
add_digit(Reading *reading, int digit)
{
	if (reading->ndigits < PNVS_PHONE_NUMBER_MAX_DIGITS)
		reading->digits[reading->ndigits] = (char) ('0' + digit);
	reading->ndigits++;
}

static void
add_gap(Reading *reading)
{
	if (reading->ndigits <= PNVS_PHONE_NUMBER_MAX_DIGITS)
		reading->gaps |= UINT32_C(1) << reading->ndigits;
}

/* "(0)" could be dropped, but it means two numbers: with and without the zero. */
static PnvsPhoneNumberFault
close_group(Reading *reading)
{
	bool		is_single = reading->in_group && reading->ndigits == reading->group_start + 1;

	reading->in_group = false;
	if (is_single && reading->group_start < PNVS_PHONE_NUMBER_MAX_DIGITS &&
		reading->digits[reading->group_start] == '0')
		return PNVS_PHONE_NUMBER_TRUNK_PREFIX;
	add_gap(reading);
	return PNVS_PHONE_NUMBER_OK;
}

/*
 * A dot separates groups of digits, but can also be a decimal point: with the decimals it
 * would be another person's number.  A comma is no separator.
 */
static PnvsPhoneNumberFault
add_point(Reading *reading, bool separates, const char *rest)
{
	if (!reading->seen_point && reading->ndigits > 0 && is_fraction(rest, reading->gaps > 1))
		return PNVS_PHONE_NUMBER_DECIMAL;
	if (!separates)
		return PNVS_PHONE_NUMBER_BAD_CHARACTER;
	reading->seen_point = true;
	add_gap(reading);
	return PNVS_PHONE_NUMBER_OK;
}

/* Names the mistake that a character shows which is no part of a number. */
static PnvsPhoneNumberFault
foreign_character(const Reading *reading, uint32_t character, const char *rest)
{
	uint32_t	next;

	if (reading->ndigits == 0)
		return PNVS_PHONE_NUMBER_BAD_CHARACTER;
	if (character == 'x' || character == 'X' || character == '#' || character == ';')
		return PNVS_PHONE_NUMBER_EXTENSION;
	if (character == 'e' || character == 'E')
	{
		if (is_exponent(rest))
			return PNVS_PHONE_NUMBER_DECIMAL;
		(void) next_visible(rest, &next);
		if (next == 'x' || next == 'X')
			return PNVS_PHONE_NUMBER_EXTENSION;
	}
	return PNVS_PHONE_NUMBER_BAD_CHARACTER;
}

static PnvsPhoneNumberFault
judge(const Reading *reading)
{
	if (reading->digits[0] == '0')
		return reading->digits[1] == '0' ? PNVS_PHONE_NUMBER_INTERNATIONAL_PREFIX :
			PNVS_PHONE_NUMBER_LEADING_ZERO;
	if (reading->ndigits < PNVS_PHONE_NUMBER_MIN_DIGITS)
		return PNVS_PHONE_NUMBER_TOO_SHORT;
	if (has_trunk_zero(reading))
		return PNVS_PHONE_NUMBER_TRUNK_ZERO;
	if (reading->ndigits > PNVS_PHONE_NUMBER_MAX_DIGITS)
		return PNVS_PHONE_NUMBER_TOO_LONG;
	return PNVS_PHONE_NUMBER_OK;
}

/*
 * Whether more zeros follow the calling code than the country's numbers begin with.  A zero
 * by itself, as in "+39 0 333 ...", is a trunk prefix in any country.
 */
static bool
has_trunk_zero(const Reading *reading)
{
	const PnvsCallingCode *plan = pnvs_calling_code_find(reading->digits);
	size_t		code_len;
	size_t		zeros;

	if (plan == NULL)
		return false;
	code_len = pnvs_calling_code_len(plan);
	zeros = strspn(reading->digits + code_len, "0");
	return zeros > plan->leading_zeros ||
		(zeros > 0 && (reading->gaps >> code_len & 3) == 3);
}

/* Reads the next visible character; full-width ones become ASCII. */
static const char *
next_visible(const char *text, uint32_t *character)
{
	do
		text = pnvs_unicode_next(text, character);
	while (pnvs_unicode_is_invisible(*character));
	*character = pnvs_unicode_narrow(*character);
	return text;
}

/*
 * Whether the text after a point is a decimal fraction: at most two digits, or any number
 * of zeros if the digits before the point are not in groups.
 */
static bool
is_fraction(const char *text, bool grouped)
{
	size_t		ndigits = 0;
	bool		zeros = true;
	uint32_t	character;
	int			digit;

	for (;; ndigits++)
	{
		text = next_visible(text, &character);
		digit = pnvs_unicode_digit(character);
		if (digit < 0)
			break;
		if (digit > 0)
			zeros = false;
	}
	while (character != 0)
	{
		text = next_visible(text, &character);
		if (pnvs_unicode_digit(character) >= 0)
			return false;
	}
	return ndigits > 0 && (ndigits <= MAX_DECIMALS || (zeros && !grouped));
}

/* Whether the text after an E is the exponent of a decimal number. */
static bool
is_exponent(const char *text)
{
	uint32_t	character;

	text = next_visible(text, &character);
	if (character == '+' || pnvs_unicode_is_hyphen(character))
		text = next_visible(text, &character);
	if (pnvs_unicode_digit(character) < 0)
		return false;
	do
		text = next_visible(text, &character);
	while (pnvs_unicode_digit(character) >= 0);
	return character == 0;
}
