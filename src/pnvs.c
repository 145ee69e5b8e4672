/*-------------------------------------------------------------------------
 *
 * pnvs.c
 *	  Initialises the library when it is loaded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "guard/guard.h"
#include "queue/process/process.h"
#include "queue/registry/memory.h"
#include "queue/registry/registry.h"
#include "settings.h"
#include "sql/sql.h"
#include "verification/verification.h"
#include "verification/checks.h"
#include "verification/verification.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/* Nothing of libcurl or OpenSSL is touched here: this may be the postmaster. */
void
_PG_init(void)
{
	pnvs_settings_init();
	pnvs_statement_init();
	pnvs_utility_init();
	pnvs_verification_upkeep_init();
	if (process_shared_preload_libraries_in_progress && !IsBinaryUpgrade)
	{
		pnvs_registry_init();
		pnvs_waiters_init();
		/* the guard then loads what it has kept of the checks */
		pnvs_checks_init();
		pnvs_guard_init();
		pnvs_fallback_init();
		pnvs_launcher_register();
	}
}
