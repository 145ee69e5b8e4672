/*-------------------------------------------------------------------------
 *
 * early.c
 *	  Makes the sanitizers work in a server that is not built with them.
 *
 * Preloaded between the two, and linked with -z initfirst, so that its
 * constructor runs before all others.
 *
 * - AddressSanitizer would start with the first malloc().  In Debian's
 *	 PostgreSQL that is one of a library's constructor, which holds a lock of
 *	 libc's that the start-up needs: the program would hang.
 * - UndefinedBehaviorSanitizer starts with its first report.  Its options would
 *	 come from /proc/self/environ, over which PostgreSQL has written the process
 *	 title by then: so they are here.
 * - Both have a function that says where reports go, and the one of
 *	 AddressSanitizer, which comes first, would be called for both: what comes
 *	 next after this library is the other's.
 *
 * Compiled with REPORTS, the folder where reports go, into a file for each process
 * and sanitizer: each begins its own file anew.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdlib.h>

typedef void (*SetReportPath) (const char *path);

static void *volatile first;

extern const char *__ubsan_default_options(void);

/* log_path is for AddressSanitizer's function, which is called with it. */
const char *
__ubsan_default_options(void)
{
	return "print_stacktrace=1:halt_on_error=0:log_path=" REPORTS "/asan"
		":stack_trace_format=\"    #%n %f %L (%m)\"";
}

__attribute__((constructor)) static void
start(void)
{
	SetReportPath set_report_path;

	first = malloc(1);
	free(first);
	set_report_path = (SetReportPath) dlsym(RTLD_NEXT, "__sanitizer_set_report_path");
	if (set_report_path == NULL)
		abort();
	set_report_path(REPORTS "/ubsan");
}
