/*-------------------------------------------------------------------------
 *
 * gnutls.c
 *	  Makes libcurl one that does not use OpenSSL, as far as pnvs can tell:
 *	  loaded by LD_PRELOAD, it refuses the option that is OpenSSL's alone.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdarg.h>

/* Of <curl/curl.h>, whose macro of this name checks types. */
#define CURLE_NOT_BUILT_IN 4
#define CURLOPT_SSL_CTX_FUNCTION 20108

extern int	curl_easy_setopt(void *easy, int option,...);

int
curl_easy_setopt(void *easy, int option,...)
{
	int			(*next) (void *, int,...) =
	(int (*) (void *, int,...)) dlsym(RTLD_NEXT, "curl_easy_setopt");
	va_list		args;
	void	   *value;

	if (option == CURLOPT_SSL_CTX_FUNCTION)
		return CURLE_NOT_BUILT_IN;

	/* a long or a pointer, which are passed alike */
	va_start(args, option);
	value = va_arg(args, void *);
	va_end(args);
	return next(easy, option, value);
}
