/*-------------------------------------------------------------------------
 *
 * settings_name.h
 *	  Names that begin like a setting's of pnvs and are none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SETTINGS_NAME_H
#define PNVS_SETTINGS_NAME_H

extern void pnvs_settings_note_unknown_names(void);
extern const char *pnvs_settings_unknown_name(void);

#endif							/* PNVS_SETTINGS_NAME_H */
