/*-------------------------------------------------------------------------
 *
 * json_text.h
 *	  Converts the texts of a JSON reply to the database's encoding.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_JSON_TEXT_H
#define PNVS_JSON_TEXT_H

extern char *pnvs_json_text_plain_escapes(const char *body, size_t len,
										  size_t *out_len);
extern char *pnvs_json_text_trim(char *text);
extern char *pnvs_json_text_convert(const char *text);

#endif							/* PNVS_JSON_TEXT_H */
