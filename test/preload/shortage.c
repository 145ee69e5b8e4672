/*-------------------------------------------------------------------------
 *
 * shortage.c
 *	  Lets memory run out, and writing to the network fail, in one process at a
 *	  chosen moment; and counts what the process has allocated.
 *
 * Loaded before libc by LD_PRELOAD. Told what to do by the file that the
 * environment's PNVS_SHORTAGE names, which is mapped: a test writes the fields of
 * Orders into it and reads those of Report, all in the machine's byte order. An
 * order counts for the process of that pid alone. Whoever writes orders does so
 * while the process is idle, pid last.
 *
 * What counts as an allocation is each malloc(), calloc(), realloc() and strdup()
 * by the libraries that are named in LIBRARIES, or by whoever does it under a
 * function of pnvs's, such as PostgreSQL.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum
{
	SCOPE_LIBRARIES,
	SCOPE_CALL
};

/* What happens to a request that is written. */
enum
{
	WRITE_WELL,
	WRITE_STALLS,				/* there is never room */
	WRITE_RESET,				/* the connection is found to be reset */
	WRITE_CUT,					/* some of it goes out, then the same */
	WRITE_CUT_STALLS			/* some of it goes out, then there is no room */
};

typedef struct Control
{
	/* orders */
	int32_t		pid;
	int32_t		scope;
	int64_t		fail_from;		/* the first allocation that fails, from 1; 0:
								 * none */
	int64_t		fail_times;		/* how many in a row do */
	int32_t		write_fault;
	int32_t		write_times;	/* how many requests it befalls */
	/* report */
	int64_t		allocations;	/* since fail_from was ordered */
	int64_t		failed;			/* of them */
	int64_t		live_bytes;		/* malloc'ed minus freed, since pid was
								 * ordered */
	int64_t		write_faults;	/* requests that it befell */
	int64_t		opened_at;		/* allocations when it last opened a socket */
} Control;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void __libc_free(void *p);

static const char *const LIBRARIES[] = {"libcurl.so", "libssl.so", "libcrypto.so", "pnvs.so"};

/* Frames of a stack that are looked through. */
#define MAX_FRAMES 128

/* Those of pnvs's under which the executor runs, not only a call. */
#define HOOK_FRAMES 2

/* A request's bytes that go out before it is cut. */
#define CUT_LEN 100

/* A TLS record that holds a request is longer than this, every other shorter. */
#define REQUEST_LEN 300

static Control *control;
static int	cut_socket = -1;
static __thread bool looking;

__attribute__((constructor))
static void
map_control(void)
{
	const char *path = getenv("PNVS_SHORTAGE");
	int			file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void	   *map;
	void	   *frame;

	if (file < 0)
		return;
	backtrace(&frame, 1);		/* loads a library, once */
	map = mmap(NULL, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (map != MAP_FAILED)
		control = map;
}

static bool
is_concerned(void)
{
	return control != NULL && control->pid != 0 && control->pid == getpid();
}

/* --- memory */

typedef struct Question
{
	uintptr_t	address;
	const char *library;
	bool		found;
} Question;

/* Whether the address is in this object's code; and then, whether it is the library. */
static int
look_at_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	Question   *question = arg;
	const char *name = strrchr(info->dlpi_name, '/');

	for (int i = 0; i < info->dlpi_phnum; i++)
	{
		const		ElfW(Phdr) * header = &info->dlpi_phdr[i];

		if (header->p_type != PT_LOAD ||
			question->address - (info->dlpi_addr + header->p_vaddr) >= header->p_memsz)
			continue;
		question->found = name && strncmp(name + 1, question->library, strlen(question->library)) == 0;
		return 1;
	}
	return 0;
}

static bool
is_in(const void *address, const char *library)
{
	Question	question = {(uintptr_t) address, library, false};

	dl_iterate_phdr(look_at_object, &question);
	return question.found;
}

static bool
counts(const void *caller)
{
	void	   *frames[MAX_FRAMES];
	int			own = 0;
	bool		found = false;

	if (control->scope == SCOPE_LIBRARIES)
	{
		for (size_t i = 0; !found && i < sizeof(LIBRARIES) / sizeof(LIBRARIES[0]); i++)
			found = is_in(caller, LIBRARIES[i]);
	}
	else if (!looking)
	{
		looking = true;
		for (int i = backtrace(frames, MAX_FRAMES) - 1; i >= 0; i--)
			own += is_in(frames[i], "pnvs.so");
		found = own > HOOK_FRAMES;
		looking = false;
	}
	return found;
}

/* Whether this allocation is to fail. */
static bool
runs_out(const void *caller)
{
	int64_t		number;

	if (!is_concerned() || control->fail_from == 0 || !counts(caller))
		return false;
	number = __atomic_add_fetch(&control->allocations, 1, __ATOMIC_SEQ_CST);
	if (number < control->fail_from || number - control->fail_from >= control->fail_times)
		return false;
	__atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
	errno = ENOMEM;
	return true;
}

static void *
account(void *p, int sign)
{
	if (p != NULL && is_concerned())
		__atomic_add_fetch(&control->live_bytes, sign * (int64_t) malloc_usable_size(p), __ATOMIC_SEQ_CST);
	return p;
}

void *
malloc(size_t size)
{
	return runs_out(__builtin_return_address(0)) ? NULL : account(__libc_malloc(size), 1);
}

void *
calloc(size_t n, size_t size)
{
	return runs_out(__builtin_return_address(0)) ? NULL : account(__libc_calloc(n, size), 1);
}

void *
realloc(void *old, size_t size)
{
	void	   *new;

	if (runs_out(__builtin_return_address(0)))
		return NULL;
	account(old, -1);
	new = __libc_realloc(old, size);
	if (new == NULL && size > 0)
		account(old, 1);
	return account(new, 1);
}

char *
strdup(const char *text)
{
	size_t		size = strlen(text) + 1;
	char	   *copy;

	if (runs_out(__builtin_return_address(0)))
		return NULL;
	copy = account(__libc_malloc(size), 1);
	return copy ? memcpy(copy, text, size) : NULL;
}

void
free(void *p)
{
	account(p, -1);
	__libc_free(p);
}

/* --- writing */

/* Whether these bytes are a request, encrypted or not, on its way to the network. */
static bool
is_request(int socket, const unsigned char *data, size_t len)
{
	int			family;
	socklen_t	size = sizeof(family);

	if (len < REQUEST_LEN || getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0 ||
		family != AF_INET)
		return false;
	return (data[0] == 23 && data[1] == 3) || memcmp(data, "POST ", 5) == 0;
}

/* How much of it goes out; -1 and errno where nothing does, -2: all. */
static ssize_t
write_badly(int socket, const void *data, size_t len)
{
	bool		rest = socket == cut_socket;

	if (!rest && (control->write_times == 0 || !is_request(socket, data, len)))
		return -2;
	if (!rest && control->write_fault != WRITE_STALLS)
		control->write_times--;
	control->write_faults += !rest;
	errno = control->write_fault == WRITE_RESET || control->write_fault == WRITE_CUT ? ECONNRESET : EAGAIN;
	if (rest || control->write_fault == WRITE_STALLS || control->write_fault == WRITE_RESET)
		return -1;
	cut_socket = socket;
	return CUT_LEN;
}

ssize_t
send(int socket, const void *data, size_t len, int flags)
{
	ssize_t		part = -2;

	if (is_concerned() && control->write_fault != WRITE_WELL)
		part = write_badly(socket, data, len);
	if (part == -1)
		return -1;
	return syscall(SYS_sendto, socket, data, part < 0 ? len : (size_t) part, flags, NULL, 0);
}

/* OpenSSL's own way to a socket, which older versions of libcurl take. */
ssize_t
write(int file, const void *data, size_t len)
{
	ssize_t		part = -2;

	if (is_concerned() && control->write_fault != WRITE_WELL)
		part = write_badly(file, data, len);
	if (part == -1)
		return -1;
	return syscall(SYS_write, file, data, part < 0 ? len : (size_t) part);
}

int
socket(int family, int type, int protocol)
{
	int			opened = (int) syscall(SYS_socket, family, type, protocol);

	if (is_concerned() && family == AF_INET)
		control->opened_at = control->allocations;
	return opened;
}

/* A number may be given to another connection. */
int
close(int file)
{
	if (file == cut_socket)
		cut_socket = -1;
	return (int) syscall(SYS_close, file);
}
