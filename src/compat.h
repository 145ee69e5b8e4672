/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  The differences between versions of PostgreSQL (15 to 19) and of libcurl (7.80
 *	  and later); no other file compares versions.
 *
 * The libcurl part is for files that include <curl/curl.h> before this header.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_COMPAT_H
#define PNVS_COMPAT_H

#include "common/jsonapi.h"
#include "executor/executor.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "pnvs needs PostgreSQL 15 or later"
#endif

#ifndef __linux__
#error "pnvs waits with epoll and timerfd, and so needs Linux"
#endif

/* 18 replaced pg_attribute_noreturn(). */
#ifndef pg_noreturn
#define pg_noreturn __attribute__((noreturn))
#endif

/* Values and extras of settings come from GUC's allocator since 16, from malloc() before. */
#if PG_VERSION_NUM >= 160000
#define pnvs_guc_malloc(size) guc_malloc(LOG, size)
#define pnvs_guc_strdup(text) guc_strdup(LOG, text)
#define pnvs_guc_free(pointer) guc_free(pointer)
#else
#define pnvs_guc_malloc(size) malloc(size)
#define pnvs_guc_strdup(text) strdup(text)
#define pnvs_guc_free(pointer) free(pointer)
#endif

/* The JSON parser's actions return a result since 16. */
#if PG_VERSION_NUM >= 160000
#define PNVS_JSON_ACTION JsonParseErrorType
#define PNVS_JSON_ACTION_DONE return JSON_SUCCESS
#else
#define PNVS_JSON_ACTION void
#define PNVS_JSON_ACTION_DONE return
#endif

/* A signal handler gets a second argument since 19. */
#if PG_VERSION_NUM >= 190000
#define PNVS_SIGNAL_PASS postgres_signal_arg, pg_siginfo
#else
#define PNVS_SIGNAL_PASS postgres_signal_arg
#endif

/* 17 lets the caller pass the lexer's memory. */
#if PG_VERSION_NUM >= 170000
#define pnvs_make_json_lexer(json, len, encoding, need_escapes) \
	makeJsonLexContextCstringLen(NULL, json, len, encoding, need_escapes)
#else
#define pnvs_make_json_lexer(json, len, encoding, need_escapes) \
	makeJsonLexContextCstringLen(json, len, encoding, need_escapes)
#endif

/* 18 dropped the last argument of ExecutorRun(). */
#if PG_VERSION_NUM >= 180000
#define PNVS_EXECUTOR_RUN_ARGS \
	QueryDesc *query, ScanDirection direction, uint64 count
#define PNVS_EXECUTOR_RUN_PASS query, direction, count
#else
#define PNVS_EXECUTOR_RUN_ARGS \
	QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once
#define PNVS_EXECUTOR_RUN_PASS query, direction, count, execute_once
#endif

/* A set that is never freed: since 17 it could belong to a resource owner. */
#if PG_VERSION_NUM >= 170000
#define pnvs_create_wait_event_set(nevents) CreateWaitEventSet(NULL, nevents)
#else
#define pnvs_create_wait_event_set(nevents) CreateWaitEventSet(TopMemoryContext, nevents)
#endif

/* Since 19, CREATE, ALTER and DROP DATABASE may end such a worker. */
#ifdef BGWORKER_INTERRUPTIBLE
#define PNVS_BGWORKER_INTERRUPTIBLE BGWORKER_INTERRUPTIBLE
#else
#define PNVS_BGWORKER_INTERRUPTIBLE 0
#endif

/* Makes a wait event, once; extensions name their own since 17. */
static inline void
pnvs_name_wait_event(uint32 *wait_event, const char *name)
{
	if (*wait_event == 0)
#if PG_VERSION_NUM >= 170000
		*wait_event = WaitEventExtensionNew(name);
#else
		*wait_event = PG_WAIT_EXTENSION;
#endif
}

/* 18 can exclude a row from the comparison. */
#if PG_VERSION_NUM >= 180000
#define pnvs_check_index_constraints(result, slot, state, conflict, arbiters) \
	ExecCheckIndexConstraints(result, slot, state, conflict, NULL, arbiters)
#else
#define pnvs_check_index_constraints(result, slot, state, conflict, arbiters) \
	ExecCheckIndexConstraints(result, slot, state, conflict, arbiters)
#endif

/* Whether index entries are needed: since 16 it may be those of summarizing indexes alone. */
#if PG_VERSION_NUM >= 160000
#define PnvsUpdateIndexes TU_UpdateIndexes
#define pnvs_only_summarizing(indexes) ((indexes) == TU_Summarizing)
#define pnvs_is_summarizing(info) ((info)->ii_Summarizing)
#else
#define PnvsUpdateIndexes bool
#define pnvs_only_summarizing(indexes) false
#define pnvs_is_summarizing(info) false
#endif

/* Since 17 what an index keeps between insertions is to be let go. */
#if PG_VERSION_NUM >= 170000
#define pnvs_index_insert_cleanup(index, info) index_insert_cleanup(index, info)
#else
#define pnvs_index_insert_cleanup(index, info) ((void) 0)
#endif

/* Waits for others who change the row; 19 has options. */
#if PG_VERSION_NUM >= 190000
#define pnvs_table_tuple_update(relation, tid, slot, command, failure, mode, indexes) \
	table_tuple_update(relation, tid, slot, command, 0, InvalidSnapshot, InvalidSnapshot, true, \
					   failure, mode, indexes)
#else
#define pnvs_table_tuple_update(relation, tid, slot, command, failure, mode, indexes) \
	table_tuple_update(relation, tid, slot, command, InvalidSnapshot, InvalidSnapshot, true, \
					   failure, mode, indexes)
#endif

/* Which cache of the catalogs a callback is for: since 19 that has a type. */
#if PG_VERSION_NUM >= 190000
#define PNVS_SYSCACHE_ID SysCacheIdentifier
#else
#define PNVS_SYSCACHE_ID int
#endif

/* Until 15 each kind of object had its own function. */
#if PG_VERSION_NUM >= 160000
#define pnvs_owns_database(database, role) \
	object_ownercheck(DatabaseRelationId, database, role)
#else
#define pnvs_owns_database(database, role) \
	pg_database_ownercheck(database, role)
#endif

/* All settings; for files that include utils/guc_tables.h. */
#if PG_VERSION_NUM >= 160000
#define pnvs_guc_variables(n) get_guc_variables(n)
#else
#define pnvs_guc_variables(n) (*(n) = GetNumConfigOptions(), get_guc_variables())
#endif

#ifdef LIBCURL_VERSION_NUM

/*
 * Before 7.80 libcurl lacks CURLOPT_PREREQFUNCTION, the only means to stop it from sending
 * a request a second time by itself.
 */
#if LIBCURL_VERSION_NUM < 0x075000
#error "pnvs needs libcurl 7.80 or later"
#endif

#if LIBCURL_VERSION_NUM >= 0x075500
#define PNVS_CURLOPT_PROTOCOLS CURLOPT_PROTOCOLS_STR
#define PNVS_PROTOCOL_HTTPS "https"
#define PNVS_PROTOCOL_HTTP "http"
#else
#define PNVS_CURLOPT_PROTOCOLS CURLOPT_PROTOCOLS
#define PNVS_PROTOCOL_HTTPS ((long) CURLPROTO_HTTPS)
#define PNVS_PROTOCOL_HTTP ((long) CURLPROTO_HTTP)
#endif

/*
 * Before 7.87 libcurl joins its resolver thread, so a call that is cancelled during the
 * name look-up waits until the resolver gives up.
 */
#if LIBCURL_VERSION_NUM >= 0x075700
#define PNVS_HAVE_QUICK_EXIT 1
#endif

/* Since 8.20 the end of all connections does not wait for it either. */
#if LIBCURL_VERSION_NUM >= 0x081400
#define PNVS_HAVE_MULTI_QUICK_EXIT 1
#endif

/* Since 7.87 a file of authorities is read once a day. */
#if LIBCURL_VERSION_NUM >= 0x075700
#define PNVS_HAVE_CA_CACHE 1
#endif

/*
 * Whether NULL means the built-in authorities, as it does from 8.17 to 8.22; for other
 * versions it means none.
 */
#define pnvs_curl_null_is_default_ca(version_num) \
	((version_num) >= 0x081100 && (version_num) < 0x081700)

/*
 * CURLE_TOO_LARGE: since 8.6 the error for a header line of more than 100 kB.  A number,
 * for the library may be newer than its header.
 */
#define PNVS_CURLE_TOO_LARGE 100

#endif							/* LIBCURL_VERSION_NUM */

#endif							/* PNVS_COMPAT_H */
