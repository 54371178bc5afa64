/* What a program does to the outside, and a way to be in its way: loaded before the C library (LD_PRELOAD), this
 * stands at the program's system calls on files and sockets. It kills the process at a chosen call, lets a call
 * fail, or keeps a record of what was written and synced, from which `power.rs` makes the disk after a power cut.
 *
 * A process that dies between two of its calls is, for everybody else, one that died before the second: so the
 * calls are all the points there are. They are named by what they are about, a file or the words in them.
 *
 * The order comes through a page of a file that the test writes (`fault.rs`; the two must agree). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { C_SEND = 1, C_RECV = 2, C_WRITE = 4, C_SYNC = 8, C_RENAME = 16, C_LOCK = 32 };
enum by { B_TAIL = 0 /* the end of the file's name */, B_WORDS = 1 /* in what is sent or read */, B_WITHIN = 2 /* in its name */ };
enum act { A_BEFORE = 1, A_AFTER = 2, A_HALF = 3, A_FAIL = 4 };

/* Fields are set by the test while `armed` is 0. */
struct order {
    uint32_t present;  /* our process, once loaded */
    uint32_t armed;
    uint32_t calls;    /* which kinds of calls */
    uint32_t act;
    uint32_t by;       /* what the pattern is: see enum by */
    uint32_t skip;     /* so many calls pass first */
    uint32_t times;    /* so many calls fail; 0: all */
    uint32_t error;    /* with this errno */
    uint32_t seen;     /* calls that fitted */
    uint32_t struck;   /* calls that were hit */
    uint32_t length;
    char pattern[212];
};

/* One entry of the record; the name and the bytes follow. */
struct entry {
    uint32_t kind; /* 1 write, 2 length set, 3 sync */
    uint32_t name_bytes;
    uint64_t offset;
    uint64_t data_bytes;
};

/* Words are looked for in the beginning of what is sent or read: heads of requests and short answers. */
#define LOOK (64 * 1024)
#define NAME 512

static struct order *order;
static int record = -1;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}
#define REAL(result, name, ...)                                       \
    static result (*real)(__VA_ARGS__);                               \
    if (!real) real = (result (*)(__VA_ARGS__))next(name)

__attribute__((constructor)) static void begin(void) {
    const char *page = getenv("FAULT_PAGE"), *log = getenv("FAULT_RECORD");
    int fd = page ? (int)syscall(SYS_openat, AT_FDCWD, page, O_RDWR | O_CLOEXEC, 0) : -1;
    if (fd >= 0) {
        void *at = mmap(NULL, sizeof(struct order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at != MAP_FAILED) order = at;
        close(fd);
    }
    if (log) record = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    if (order) order->present = (uint32_t)getpid();
}

static void name_of(int fd, char *name) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, name, NAME - 1);
    name[bytes > 0 ? bytes : 0] = 0;
}

static int ends(const char *name, const char *tail, size_t tail_bytes) {
    size_t bytes = strlen(name);
    return bytes >= tail_bytes && !memcmp(name + bytes - tail_bytes, tail, tail_bytes);
}

/* What is to happen at this call; 0 is nothing. `name` may be NULL: it is looked up then. */
static uint32_t strike(enum call call, int fd, const char *name, const void *words, size_t bytes) {
    if (!order || !__atomic_load_n(&order->armed, __ATOMIC_ACQUIRE) || !(order->calls & call)) return 0;
    if (order->by == B_WORDS) {
        if (!words || !memmem(words, bytes < LOOK ? bytes : LOOK, order->pattern, order->length)) return 0;
    } else {
        char found[NAME];
        if (!name) name_of(fd, found), name = found;
        int fits = order->by == B_TAIL ? ends(name, order->pattern, order->length)
                                       : memmem(name, strlen(name), order->pattern, order->length) != NULL;
        if (!fits) return 0;
    }
    uint32_t nth = __atomic_fetch_add(&order->seen, 1, __ATOMIC_ACQ_REL);
    if (nth < order->skip) return 0;
    if (order->act != A_FAIL && nth > order->skip) return 0;
    if (order->act == A_FAIL && order->times && nth - order->skip >= order->times) return 0;
    __atomic_fetch_add(&order->struck, 1, __ATOMIC_ACQ_REL);
    return order->act;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int fails(uint32_t act) {
    if (act == A_BEFORE) die();
    if (act != A_FAIL) return 0;
    errno = (int)order->error;
    return 1;
}

/* --- the record of what a power cut may leave --- */

static int is_recorded(int fd, char *name) {
    if (record < 0) return 0;
    name_of(fd, name);
    return ends(name, ".db", 3) || ends(name, ".db-wal", 7);
}

static void note(uint32_t kind, const char *name, uint64_t offset, const void *data, uint64_t bytes) {
    struct entry entry = {kind, (uint32_t)strlen(name), offset, bytes};
    struct iovec parts[] = {
        {&entry, sizeof entry}, {(void *)name, entry.name_bytes}, {(void *)data, bytes}};
    int kept = errno;
    syscall(SYS_writev, record, parts, data ? 3 : 2);
    errno = kept;
}

/* --- files --- */

static ssize_t write_at(int fd, const void *data, size_t bytes, off64_t offset) {
    return syscall(SYS_pwrite64, fd, data, bytes, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) {
    uint32_t act = strike(C_WRITE, fd, NULL, NULL, 0);
    if (fails(act)) return -1;
    size_t written = act == A_HALF ? bytes / 2 : bytes;
    char name[NAME];
    int recorded = is_recorded(fd, name);
    if (recorded) pthread_mutex_lock(&gate);
    ssize_t done = write_at(fd, data, written, offset);
    if (recorded) {
        if (done > 0) note(1, name, (uint64_t)offset, data, (uint64_t)done);
        pthread_mutex_unlock(&gate);
    }
    if (act) die();
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return pwrite64(fd, data, bytes, offset); }

int ftruncate64(int fd, off64_t length) {
    REAL(int, "ftruncate64", int, off64_t);
    char name[NAME];
    int recorded = is_recorded(fd, name);
    if (recorded) pthread_mutex_lock(&gate);
    int done = real(fd, length);
    if (recorded) {
        if (!done) note(2, name, (uint64_t)length, NULL, 0);
        pthread_mutex_unlock(&gate);
    }
    return done;
}

static int synced(int fd, int (*real)(int)) {
    uint32_t act = strike(C_SYNC, fd, NULL, NULL, 0);
    if (fails(act)) return -1;
    char name[NAME];
    int recorded = is_recorded(fd, name);
    if (recorded) pthread_mutex_lock(&gate);
    int done = real(fd);
    if (recorded) {
        if (!done) note(3, name, 0, NULL, 0);
        pthread_mutex_unlock(&gate);
    }
    if (act) die();
    return done;
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    return synced(fd, real);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    return synced(fd, real);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    uint32_t act = order && order->armed && order->by != B_WORDS ? strike(C_RENAME, -1, from, NULL, 0) : 0;
    if (fails(act)) return -1;
    int done = real(from, to);
    if (act) die();
    return done;
}

/* Files that are not databases are written this way; so is the log, which no order names. */
ssize_t write(int fd, const void *data, size_t bytes) {
    REAL(ssize_t, "write", int, const void *, size_t);
    uint32_t act = order && order->armed && order->by != B_WORDS ? strike(C_WRITE, fd, NULL, NULL, 0) : 0;
    if (fails(act)) return -1;
    ssize_t done = real(fd, data, act == A_HALF ? bytes / 2 : bytes);
    if (act) die();
    return done;
}

/* --- sockets --- */

ssize_t send(int fd, const void *data, size_t bytes, int flags) {
    REAL(ssize_t, "send", int, const void *, size_t, int);
    uint32_t act = strike(C_SEND, fd, NULL, data, bytes);
    if (fails(act)) return -1;
    ssize_t done = real(fd, data, act == A_HALF ? bytes / 2 : bytes, flags);
    if (act) die();
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    uint32_t act = 0;
    for (int i = 0; i < count && !act; i++) act = strike(C_SEND, fd, NULL, parts[i].iov_base, parts[i].iov_len);
    if (fails(act)) return -1;
    ssize_t done;
    if (act == A_HALF) {
        done = count == 1 ? send(fd, parts[0].iov_base, parts[0].iov_len / 2, MSG_NOSIGNAL) : real(fd, parts, count / 2);
    } else {
        done = real(fd, parts, count);
    }
    if (act) die();
    return done;
}

ssize_t recv(int fd, void *data, size_t bytes, int flags) {
    REAL(ssize_t, "recv", int, void *, size_t, int);
    ssize_t done = real(fd, data, bytes, flags);
    if (done > 0 && strike(C_RECV, fd, NULL, data, (size_t)done)) die();
    return done;
}

/* --- locks --- */

/* Somebody else has the lock: what SQLite is told when another process is in the way. */
static int locked(int fd, int command, void *argument, int (*real)(int, int, ...)) {
    if (command == F_SETLK || command == F_SETLKW) {
        struct flock *lock = argument;
        if (lock->l_type == F_WRLCK && strike(C_LOCK, fd, NULL, NULL, 0)) {
            errno = (int)order->error;
            return -1;
        }
    }
    return real(fd, command, argument);
}

int fcntl64(int fd, int command, ...) {
    REAL(int, "fcntl64", int, int, ...);
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return locked(fd, command, argument, real);
}

int fcntl(int fd, int command, ...) {
    REAL(int, "fcntl", int, int, ...);
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return locked(fd, command, argument, real);
}
