/*-------------------------------------------------------------------------
 *
 * curl.c
 *	  A libcurl as others have it, loaded before the real one by LD_PRELOAD.
 *
 * It lacks the option whose number stands in the file that the environment's
 * PNVS_CURL_LACKS names, as soon as that is there.  And something else has
 * initialised it before pnvs does.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Of <curl/curl.h>, whose macro of this name checks types. */
#define CURLE_UNKNOWN_OPTION 48
#define CURL_GLOBAL_DEFAULT 3

extern int	curl_easy_setopt(void *easy, int option,...);
extern int	curl_multi_setopt(void *multi, int option,...);
static void initialise(void) __attribute__((constructor));
static int	lacks(int option);

static void
initialise(void)
{
	void	   *libcurl = dlopen("libcurl.so.4", RTLD_NOW | RTLD_GLOBAL);
	int			(*global_init) (long) =
	(int (*) (long)) (libcurl ? dlsym(libcurl, "curl_global_init") : NULL);

	if (global_init)
		global_init(CURL_GLOBAL_DEFAULT);
}

static int
lacks(int option)
{
	const char *path = getenv("PNVS_CURL_LACKS");
	FILE	   *file = path ? fopen(path, "r") : NULL;
	int			lacked = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%d", &lacked) != 1)
		lacked = 0;
	fclose(file);
	return option == lacked;
}

int
curl_easy_setopt(void *easy, int option,...)
{
	int			(*next) (void *, int,...) =
	(int (*) (void *, int,...)) dlsym(RTLD_NEXT, "curl_easy_setopt");
	va_list		args;
	void	   *value;

	if (lacks(option))
		return CURLE_UNKNOWN_OPTION;

	/* a long or a pointer, which are passed alike */
	va_start(args, option);
	value = va_arg(args, void *);
	va_end(args);
	return next(easy, option, value);
}

int
curl_multi_setopt(void *multi, int option,...)
{
	int			(*next) (void *, int,...) =
	(int (*) (void *, int,...)) dlsym(RTLD_NEXT, "curl_multi_setopt");
	va_list		args;
	void	   *value;

	/* CURLM_UNKNOWN_OPTION */
	if (lacks(option))
		return 6;
	va_start(args, option);
	value = va_arg(args, void *);
	va_end(args);
	return next(multi, option, value);
}
