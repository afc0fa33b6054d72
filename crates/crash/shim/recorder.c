/* Loaded into the server under test by LD_PRELOAD. It keeps a record of what the server does to the files under one
 * folder, and makes the disk fail when told to.
 *
 * RECORDER_FOLDER  the folder, as an absolute path without symbolic links
 * RECORDER_LOG     the record, which is appended to; others may append marks of the same form
 * RECORDER_FAULT   the fault to make, a file of one `struct fault`, which others may write at any time
 *
 * One lock is held from before each call until its record is written, so the record has the calls in their order. A
 * call is recorded after it was done: what stands behind a sync in the record happened after the sync returned.
 *
 * The index of SQLite's write-ahead log (`-shm`) is made anew after a crash. Its writes can be made to fail, but are
 * not recorded. Paths relative to the working folder are not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { ROOT, CREATE, MAKE_FOLDER, WRITE, TRUNCATE, SYNC, FAILED_SYNC, RENAME, UNLINK };

struct head {
    uint32_t kind;
    uint32_t length; /* of what follows the head */
    uint64_t inode;
    uint64_t offset; /* of a write; of a truncation, the new length */
};

enum failure { NONE, NO_SPACE, INPUT_OUTPUT, SHORT };

struct fault {
    uint32_t failure;
    uint32_t lasting; /* 0: the `at`-th call only. 1: all from it on. */
    uint64_t at;      /* counts writes, truncations and syncs from 1 */
    uint64_t calls;   /* how many there were */
    uint64_t failed;  /* how many of them were made to fail */
};

struct file {
    bool watched;
    bool recorded;
    uint64_t inode;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static size_t folder_length;
static int record = -1;
static struct fault *fault;
static struct file files[65536];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) abort();
    return found;
}

/* The path within the folder, or NULL where it is not there. */
static const char *within(const char *path) {
    if (folder == NULL || strncmp(path, folder, folder_length) != 0) return NULL;
    if (path[folder_length] == '\0') return path + folder_length;
    return path[folder_length] == '/' ? path + folder_length + 1 : NULL;
}

static void note(enum kind kind, uint64_t inode, uint64_t offset, const void *data, size_t length) {
    struct head head = {.kind = kind, .length = (uint32_t)length, .inode = inode, .offset = offset};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, length}};
    if (REAL(writev)(record, parts, 2) != (ssize_t)(sizeof head + length)) abort();
}

static void note_path(enum kind kind, uint64_t inode, const char *path) {
    note(kind, inode, 0, path, strlen(path));
}

static uint64_t inode_of(const char *path) {
    struct stat found;
    return stat(path, &found) == 0 ? found.st_ino : 0;
}

__attribute__((constructor)) static void start(void) {
    const char *log = getenv("RECORDER_LOG"), *control = getenv("RECORDER_FAULT");
    folder = getenv("RECORDER_FOLDER");
    if (folder == NULL || log == NULL || control == NULL) abort();
    folder_length = strlen(folder);
    record = REAL(open)(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int shared = REAL(open)(control, O_RDWR | O_CLOEXEC);
    if (record < 0 || shared < 0) abort();
    fault = mmap(NULL, sizeof *fault, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (fault == MAP_FAILED) abort();
    note_path(ROOT, inode_of(folder), "");
}

/* How this write, truncation or sync is to fail. */
static enum failure failure(void) {
    uint64_t call = ++fault->calls;
    bool now = fault->lasting ? call >= fault->at : call == fault->at;
    if (fault->failure == NONE || !now) return NONE;
    fault->failed++;
    return fault->failure;
}

static struct file *watched(int fd) {
    bool known = fd >= 0 && fd < (int)(sizeof files / sizeof *files) && files[fd].watched;
    return known ? &files[fd] : NULL;
}

static int opened(int at, const char *path, int flags, mode_t mode) {
    const char *inner = within(path);
    if (inner == NULL) return REAL(openat)(at, path, flags, mode);
    pthread_mutex_lock(&lock);
    bool existed = !(flags & O_CREAT) || access(path, F_OK) == 0;
    int fd = REAL(openat)(at, path, flags, mode);
    struct stat found;
    if (fd >= (int)(sizeof files / sizeof *files)) abort();
    if (fd >= 0 && fstat(fd, &found) == 0) {
        size_t length = strlen(path);
        bool index = length >= 4 && strcmp(path + length - 4, "-shm") == 0;
        files[fd] = (struct file){.watched = true, .recorded = !index, .inode = found.st_ino};
        if (!index && !existed) note_path(CREATE, found.st_ino, inner);
        if (!index && existed && (flags & O_TRUNC)) note(TRUNCATE, found.st_ino, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(at)                                                                                                       \
    mode_t mode = 0;                                                                                                   \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                                                             \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }                                                                                                                  \
    return opened(at, path, flags, mode);

int open(const char *path, int flags, ...) { OPEN(AT_FDCWD) }
int open64(const char *path, int flags, ...) { OPEN(AT_FDCWD) }
int openat(int at, const char *path, int flags, ...) { OPEN(at) }
int openat64(int at, const char *path, int flags, ...) { OPEN(at) }

int close(int fd) {
    pthread_mutex_lock(&lock);
    struct file *file = watched(fd);
    if (file != NULL) file->watched = false;
    int done = REAL(close)(fd);
    pthread_mutex_unlock(&lock);
    return done;
}

/* A write at an offset, with the lock held. A write that fails has still put its first half down. */
static ssize_t put(int fd, struct file *file, const void *data, size_t length, off_t offset) {
    enum failure how = failure();
    if (how == NO_SPACE) {
        errno = ENOSPC;
        return -1;
    }
    if (how != NONE && length > 1) length /= 2;
    ssize_t done = REAL(pwrite)(fd, data, length, offset);
    if (done > 0 && file->recorded) note(WRITE, file->inode, (uint64_t)offset, data, (size_t)done);
    if (how == INPUT_OUTPUT) {
        errno = EIO;
        return -1;
    }
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    pthread_mutex_lock(&lock);
    struct file *file = watched(fd);
    if (file == NULL) {
        pthread_mutex_unlock(&lock);
        return REAL(pwrite)(fd, data, length, offset);
    }
    ssize_t done = put(fd, file, data, length, offset);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) { return pwrite(fd, data, length, offset); }

ssize_t write(int fd, const void *data, size_t length) {
    pthread_mutex_lock(&lock);
    struct file *file = watched(fd);
    if (file == NULL) {
        /* Sockets and pipes may block. */
        pthread_mutex_unlock(&lock);
        return REAL(write)(fd, data, length);
    }
    bool append = fcntl(fd, F_GETFL) & O_APPEND;
    off_t offset = lseek(fd, 0, append ? SEEK_END : SEEK_CUR);
    ssize_t done = put(fd, file, data, length, offset);
    if (done > 0) lseek(fd, offset + done, SEEK_SET);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    pthread_mutex_lock(&lock);
    bool ours = watched(fd) != NULL;
    pthread_mutex_unlock(&lock);
    if (!ours) return REAL(writev)(fd, parts, count);
    /* Writing the first part alone is allowed: the caller goes on with the rest. */
    for (int part = 0; part < count; part++) {
        if (parts[part].iov_len > 0) return write(fd, parts[part].iov_base, parts[part].iov_len);
    }
    return 0;
}

int ftruncate(int fd, off_t length) {
    pthread_mutex_lock(&lock);
    struct file *file = watched(fd);
    int done;
    enum failure how = file == NULL ? NONE : failure();
    if (how == NONE || how == SHORT) {
        done = REAL(ftruncate)(fd, length);
        if (done == 0 && file != NULL && file->recorded) note(TRUNCATE, file->inode, (uint64_t)length, NULL, 0);
    } else {
        errno = how == NO_SPACE ? ENOSPC : EIO;
        done = -1;
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

/* A sync that fails has done nothing, and what it should have brought to the disk counts as clean afterwards: no later
 * sync brings it there. That is what Linux does, and the record's reader holds to it. */
static int sync_by(int (*with)(int), int fd) {
    pthread_mutex_lock(&lock);
    struct file *file = watched(fd);
    int done;
    enum failure how = file == NULL ? NONE : failure();
    if (how == NONE || how == SHORT) {
        done = with(fd);
        if (file != NULL && file->recorded) note(done == 0 ? SYNC : FAILED_SYNC, file->inode, 0, NULL, 0);
    } else {
        if (file->recorded) note(FAILED_SYNC, file->inode, 0, NULL, 0);
        errno = how == NO_SPACE ? ENOSPC : EIO;
        done = -1;
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) { return sync_by(REAL(fsync), fd); }
int fdatasync(int fd) { return sync_by(REAL(fdatasync), fd); }

int rename(const char *from, const char *to) {
    const char *inner_from = within(from), *inner_to = within(to);
    if (inner_from == NULL || inner_to == NULL) return REAL(rename)(from, to);
    pthread_mutex_lock(&lock);
    int done = REAL(rename)(from, to);
    if (done == 0) {
        char both[2 * PATH_MAX];
        size_t first = strlen(inner_from) + 1, second = strlen(inner_to);
        if (first + second > sizeof both) abort();
        memcpy(both, inner_from, first);
        memcpy(both + first, inner_to, second);
        note(RENAME, 0, 0, both, first + second);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int unlink(const char *path) {
    const char *inner = within(path);
    size_t length = strlen(path);
    bool index = length >= 4 && strcmp(path + length - 4, "-shm") == 0;
    if (inner == NULL || index) return REAL(unlink)(path);
    pthread_mutex_lock(&lock);
    int done = REAL(unlink)(path);
    if (done == 0) note_path(UNLINK, 0, inner);
    pthread_mutex_unlock(&lock);
    return done;
}

int mkdir(const char *path, mode_t mode) {
    const char *inner = within(path);
    if (inner == NULL) return REAL(mkdir)(path, mode);
    pthread_mutex_lock(&lock);
    int done = REAL(mkdir)(path, mode);
    if (done == 0) note_path(MAKE_FOLDER, inode_of(path), inner);
    pthread_mutex_unlock(&lock);
    return done;
}
