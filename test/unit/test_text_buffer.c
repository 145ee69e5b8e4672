/*-------------------------------------------------------------------------
 *
 * test_text_buffer.c
 *	  The bounded buffer: what fits, what does not, and what stays of it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <string.h>

#include "core/text_buffer.h"
#include "exact.h"
#include "tap.h"

static void test_appending(void);
static void test_exact_fit(void);
static void test_overflow(void);
static void test_smallest(void);
static void test_huge_length(void);

int
main(void)
{
	test_appending();
	test_exact_fit();
	test_overflow();
	test_smallest();
	test_huge_length();
	return tap_done();
}

static void
test_appending(void)
{
	PnvsTextBuffer buffer;

	exact_buffer_init(&buffer, 32);
	tap_text(buffer.data, "", "a new buffer holds the empty text");
	tap_int((long long) buffer.len, 0, "a new buffer has no length");
	tap_int((long long) buffer.size, 32, "a new buffer knows its size");
	tap_ok(!buffer.overflowed, "a new buffer has not overflowed");

	pnvs_text_buffer_append(&buffer, "one");
	pnvs_text_buffer_append_char(&buffer, ',');
	pnvs_text_buffer_append_len(&buffer, "two, three", 3);
	tap_text(buffer.data, "one,two", "appends follow each other");
	tap_int((long long) buffer.len, 7, "the length leaves the NUL out");

	pnvs_text_buffer_append(&buffer, "");
	tap_text(buffer.data, "one,two", "an empty text adds nothing");

	pnvs_text_buffer_append_len(&buffer, "a\0b", 3);
	tap_ok(buffer.len == 10 && memcmp(buffer.data, "one,twoa\0b", 11) == 0,
		   "a NUL among the bytes of a given length is a byte as others");
	tap_ok(!buffer.overflowed, "what fits does not overflow");
	exact_buffer_free(&buffer);
}

static void
test_exact_fit(void)
{
	PnvsTextBuffer buffer;

	exact_buffer_init(&buffer, 4);
	pnvs_text_buffer_append(&buffer, "abc");
	tap_text(buffer.data, "abc", "a text that fills the buffer with its NUL fits");
	tap_ok(!buffer.overflowed, "a full buffer has not overflowed");
	pnvs_text_buffer_append(&buffer, "");
	tap_ok(!buffer.overflowed, "an empty text fits into a full buffer");
	pnvs_text_buffer_append_char(&buffer, 'd');
	tap_ok(buffer.overflowed, "one byte more overflows");
	tap_text(buffer.data, "abc", "the byte that overflowed is not written");
	exact_buffer_free(&buffer);

	exact_buffer_init(&buffer, 4);
	pnvs_text_buffer_append(&buffer, "abcd");
	tap_ok(buffer.overflowed, "a text without room for its NUL overflows");
	exact_buffer_free(&buffer);
}

static void
test_overflow(void)
{
	PnvsTextBuffer buffer;

	exact_buffer_init(&buffer, 8);
	pnvs_text_buffer_append(&buffer, "abcd");
	pnvs_text_buffer_append(&buffer, "efghijkl");
	tap_ok(buffer.overflowed, "a text that does not fit overflows");
	tap_text(buffer.data, "abcd", "nothing of a text that does not fit is written");
	tap_int((long long) buffer.len, 4, "an overflow leaves the length as it was");

	pnvs_text_buffer_append(&buffer, "e");
	tap_text(buffer.data, "abcd", "after an overflow a text that would fit is ignored");
	pnvs_text_buffer_append_char(&buffer, 'e');
	tap_text(buffer.data, "abcd", "after an overflow a byte that would fit is ignored");
	pnvs_text_buffer_append(&buffer, "");
	tap_ok(buffer.overflowed, "an overflow is not forgotten");

	pnvs_text_buffer_init(&buffer, buffer.data, buffer.size);
	tap_ok(!buffer.overflowed && buffer.len == 0 && buffer.data[0] == '\0',
		   "a buffer that is started anew is empty and has not overflowed");
	exact_buffer_free(&buffer);
}

static void
test_smallest(void)
{
	PnvsTextBuffer buffer;

	exact_buffer_init(&buffer, 1);
	tap_text(buffer.data, "", "a buffer of one byte holds the empty text");
	pnvs_text_buffer_append(&buffer, "");
	tap_ok(!buffer.overflowed, "the empty text fits into a buffer of one byte");
	pnvs_text_buffer_append_char(&buffer, 'a');
	tap_ok(buffer.overflowed, "one byte does not fit into a buffer of one byte");
	tap_text(buffer.data, "", "a buffer of one byte keeps its NUL");
	exact_buffer_free(&buffer);
}

static void
test_huge_length(void)
{
	/* The compiler must not see that no text is as long. */
	volatile size_t huge = SIZE_MAX;
	PnvsTextBuffer buffer;

	exact_buffer_init(&buffer, 8);
	pnvs_text_buffer_append(&buffer, "ab");
	pnvs_text_buffer_append_len(&buffer, "c", huge);
	tap_ok(buffer.overflowed && buffer.len == 2,
		   "a length that wraps around the address space overflows");
	exact_buffer_free(&buffer);
}
