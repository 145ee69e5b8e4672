/*-------------------------------------------------------------------------
 *
 * pnvs.c
 *	  The front door: what happens when the library is loaded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "queue/launcher.h"
#include "queue/roster.h"
#include "queue/utility.h"
#include "settings.h"
#include "sql/statement.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/* Nothing of libcurl or OpenSSL is touched here: this may be the postmaster. */
void
_PG_init(void)
{
	pnvs_settings_init();
	pnvs_settings_statement_init();
	pnvs_statement_init();
	pnvs_utility_init();
	if (process_shared_preload_libraries_in_progress && !IsBinaryUpgrade)
	{
		pnvs_roster_init();
		pnvs_launcher_register();
	}
}
