/*
 * The host-agent's hands for mount system calls, which Node does not have.
 *
 * One process for the life of the host-agent. Requests are lines on stdin, answered in order on stdout:
 *
 *   <id> ping                                       is anybody there
 *   <id> stage <source> <target>                    <target> shows <source>, read-only and private to this mount namespace
 *   <id> volume <target> <bytes> <inodes> <folder>  an empty tmpfs with one folder in it ("-": none); EEXIST if one is there
 *   <id> image <folder> <name> <target>             <target> shows the erofs image <folder>/<name>; the mount table calls it <name>
 *   <id> bind <source> <volume> <name>              <volume>/<name> shows <source> read-only; EXDEV if something is mounted there
 *   <id> unmount <path>                             takes away the topmost mount at <path>
 *   <id> forget <tree>                              memory lets go of what was read of an image by way of <tree>
 *   <id> list <image> <tree> <list>                 <list> says which bytes of <image> were read by way of <tree> and are in memory
 *   <id> ahead <image> <list>                       the kernel reads what <list> says, for whoever needs it next
 *
 *   <id> ok
 *   <id> <errno> <what failed>
 *
 * The last three are answered before they are done, and not done when there are too many of them.
 *
 * Bytes of an argument other than printable ASCII, and "%" and " ", come as %XX. "--classic" keeps to mount(2), which is what kernels
 * and sandboxes without the newer calls get by themselves. Needs Linux 5.10 for nosymfollow.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_BYTES 65536
#define MAX_ARGS 6
#define VOLUME_SOURCE "code.warmpool.dev"
#define TMPFS_MAGIC 0x01021994
/* of our own images: where the superblock has its magic number and the first block of inodes, and an inode the first block of its file */
#define EROFS_MAGIC_AT 1024
#define EROFS_META_AT (1024 + 40)
#define EROFS_START_AT 16
#define EROFS_MAGIC 0xe0f5e1e2
#define EROFS_BLOCK 4096
#define EROFS_SLOT 32
/* of a larger file the kernel reads whole stretches by itself; what it has in memory then is more than was needed */
#define MAX_LISTED_BYTES (1 << 20)
/* reading this much more is cheaper than reading twice */
#define NEAR_BYTES (64 << 10)
/* the kernel takes no more at a time than its own read-ahead is long */
#define AHEAD_STEP (128 << 10)
#define MAX_BACKGROUND 4
#define BACKGROUND_SECONDS 10

/* from headers that cannot be included beside <linux/mount.h> or are newer than some C libraries */
extern int mount(const char *, const char *, const char *, unsigned long, const void *);
extern int umount2(const char *, int);
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef UMOUNT_NOFOLLOW
#define UMOUNT_NOFOLLOW 8
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef ST_RDONLY
#define ST_RDONLY 1
#endif
#define ST_NOSYMFOLLOW_FLAG 0x2000
#define SEALED (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

struct setattr_args {
  uint64_t attr_set, attr_clr, propagation, userns_fd;
};

static int is_classic;
static const char *failed_step;

static int fail(const char *step) {
  failed_step = step;
  return errno == 0 ? EIO : errno;
}

/* The newer calls are missing (old kernel) or forbidden (a sandbox's filter): do without them from now on. */
static int is_unavailable(void) { return errno == ENOSYS || errno == EPERM; }

static int close_keeping_errno(int fd) {
  int kept = errno;
  if (fd >= 0) close(fd);
  errno = kept;
  return -1;
}

/* A copy of the mount at `source` that belongs to no namespace yet and is read-only before anybody can see it. */
static int sealed_clone(const char *source) {
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
  if (tree < 0) return -1;
  struct setattr_args attr = {.attr_set = SEALED, .propagation = MS_PRIVATE};
  if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0) return close_keeping_errno(tree);
  return tree;
}

static int stage(const char *source, const char *target) {
  if (!is_classic) {
    int tree = sealed_clone(source);
    if (tree >= 0) {
      int moved = (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
      close_keeping_errno(tree);
      return moved < 0 ? fail("move_mount") : 0;
    }
    if (!is_unavailable()) return fail("open_tree");
    is_classic = 1;
  }
  if (mount(source, target, NULL, MS_BIND, NULL) < 0) return fail("mount --bind");
  if (mount(NULL, target, NULL, MS_PRIVATE, NULL) < 0 ||
      mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0) {
    int kept = errno;
    umount2(target, UMOUNT_NOFOLLOW);
    errno = kept;
    return fail("mount -o remount,ro");
  }
  return 0;
}

/* fsopen to fsmount: a tmpfs that is complete before it is mounted anywhere. */
static int detached_tmpfs(const char *bytes, const char *inodes) {
  int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
  if (fs < 0) return -1;
  int volume = -1;
  if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", VOLUME_SOURCE, 0) == 0 &&
      syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", bytes, 0) == 0 &&
      syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", inodes, 0) == 0 &&
      syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "1777", 0) == 0 &&
      syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
    volume = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                          MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW);
  close_keeping_errno(fs);
  return volume;
}

static int mount_tmpfs_classic(const char *target, const char *bytes, const char *inodes, const char *folder) {
  char options[128];
  snprintf(options, sizeof options, "size=%.20s,nr_inodes=%.20s,mode=1777", bytes, inodes);
  if (mount(VOLUME_SOURCE, target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW, options) < 0)
    return fail("mount tmpfs");
  struct statfs volume;
  const char *step = NULL;
  int root = open(target, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  /* an old kernel takes the flag for another one and says nothing */
  if (root < 0 || fstatfs(root, &volume) < 0) step = "statfs";
  else if (!(volume.f_flags & ST_NOSYMFOLLOW_FLAG)) errno = EOPNOTSUPP, step = "nosymfollow, which needs Linux 5.10,";
  else if (strcmp(folder, "-") != 0 && mkdirat(root, folder, 0755) < 0) step = "mkdir";
  close_keeping_errno(root);
  if (step == NULL) return 0;
  int kept = errno;
  umount2(target, UMOUNT_NOFOLLOW | MNT_DETACH);
  errno = kept;
  return fail(step);
}

static int make_volume(const char *target, const char *bytes, const char *inodes, const char *folder) {
  struct statx at;
  if (statx(AT_FDCWD, target, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &at) < 0) return fail("stat");
  if (at.stx_attributes & STATX_ATTR_MOUNT_ROOT) {
    errno = EEXIST;
    return fail("mount tmpfs");
  }
  if (is_classic) return mount_tmpfs_classic(target, bytes, inodes, folder);
  int volume = detached_tmpfs(bytes, inodes);
  if (volume < 0) {
    if (!is_unavailable() && errno != EINVAL) return fail("fsopen tmpfs");
    return mount_tmpfs_classic(target, bytes, inodes, folder);
  }
  const char *step = NULL;
  if (strcmp(folder, "-") != 0 && mkdirat(volume, folder, 0755) < 0) step = "mkdir";
  else if (syscall(SYS_move_mount, volume, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0) step = "move_mount";
  close_keeping_errno(volume);
  return step == NULL ? 0 : fail(step);
}

/*
 * By its name in the working folder: what the mount table shows has to fit into 255 bytes, and is how the image is known again. A
 * kernel that cannot mount a file without a loop device says ENOTBLK.
 */
static int mount_image_here(const char *name, const char *target) {
  if (!is_classic) {
    int fs = (int)syscall(SYS_fsopen, "erofs", FSOPEN_CLOEXEC);
    int image = -1;
    if (fs >= 0 && syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", name, 0) == 0 &&
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
      image = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, SEALED);
    close_keeping_errno(fs);
    if (image >= 0) {
      int moved = (int)syscall(SYS_move_mount, image, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
      close_keeping_errno(image);
      return moved < 0 ? fail("move_mount") : 0;
    }
    if (!is_unavailable()) return fail("fsopen erofs");
  }
  return mount(name, target, "erofs", MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0 ? fail("mount erofs") : 0;
}

static int mount_image(const char *folder, const char *name, const char *target) {
  if (chdir(folder) < 0) return fail("chdir");
  int result = mount_image_here(name, target);
  /* nothing keeps the folder from being unmounted */
  if (chdir("/") < 0 && result == 0) return fail("chdir /");
  return result;
}

/*
 * The volume's content belongs to the pod, so nothing in it is believed: no link is followed, no mount is crossed, and what is
 * mounted on is what was looked at. One of ours is known by its type and flag, so that code never lands beside a volume.
 */
static int open_mount_point(const char *volume, const char *name) {
  int root = open(volume, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (root < 0) return -1;
  struct statfs found;
  int point = -1;
  if (fstatfs(root, &found) == 0) {
    if (found.f_type != TMPFS_MAGIC || !(found.f_flags & ST_NOSYMFOLLOW_FLAG)) errno = ENODEV;
    else {
      struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                             .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
      point = (int)syscall(SYS_openat2, root, name, &how, sizeof how);
    }
  }
  close_keeping_errno(root);
  return point;
}

static int bind_classic(const char *source, const char *volume, const char *name, int point) {
  struct statfs found;
  char from[64], to[64];
  int tree = open(source, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (tree < 0) return fail("open the code");
  /* a bind takes its mode from where it is made from; made read-only afterwards, the copies in pods would stay writable */
  if (fstatfs(tree, &found) < 0 || !(found.f_flags & ST_RDONLY)) {
    close(tree);
    errno = EACCES;
    return fail("the staging mount is not read-only: bind");
  }
  snprintf(from, sizeof from, "/proc/self/fd/%d", tree);
  snprintf(to, sizeof to, "/proc/self/fd/%d", point);
  int bound = mount(from, to, NULL, MS_BIND, NULL);
  close_keeping_errno(tree);
  (void)volume, (void)name;
  return bound < 0 ? fail("mount --bind") : 0;
}

static int bind_code(const char *source, const char *volume, const char *name) {
  int point = open_mount_point(volume, name);
  if (point < 0) return fail("open the mount point");
  int result;
  int tree = is_classic ? -1 : sealed_clone(source);
  if (tree < 0 && !is_classic && !is_unavailable()) result = fail("open_tree");
  else if (tree < 0) result = bind_classic(source, volume, name, point);
  else {
    int moved = (int)syscall(SYS_move_mount, tree, "", point, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    result = moved < 0 ? fail("move_mount") : 0;
    close(tree);
  }
  close(point);
  return result;
}

static int unmount(const char *path) {
  if (umount2(path, UMOUNT_NOFOLLOW) == 0) return 0;
  /* somebody still has a file open: gone from the tree now, freed when they close it */
  if (errno == EBUSY && umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) == 0) return 0;
  return fail("umount");
}

struct range {
  off_t from, end;
};

static struct {
  int image;
  off_t meta;
  struct range *ranges;
  size_t count;
} listing;

static int add_range(off_t from, off_t end) {
  if (listing.count % 256 == 0) {
    struct range *grown = realloc(listing.ranges, (listing.count + 256) * sizeof *grown);
    if (grown == NULL) return -1;
    listing.ranges = grown;
  }
  listing.ranges[listing.count++] = (struct range){from, end};
  return 0;
}

/* What memory has of a file, as ranges of the image. */
static int list_file(const char *path, const struct stat *file, int type, struct FTW *at) {
  static unsigned char pages[MAX_LISTED_BYTES / EROFS_BLOCK];
  const off_t page_bytes = sysconf(_SC_PAGESIZE);
  (void)at;
  if (type != FTW_F || file->st_size == 0 || file->st_size > MAX_LISTED_BYTES) return 0;
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return 0;
  void *content = mmap(NULL, (size_t)file->st_size, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (content == MAP_FAILED) return 0;
  int known = mincore(content, (size_t)file->st_size, pages);
  munmap(content, (size_t)file->st_size);
  uint32_t block;
  off_t inode = listing.meta + (off_t)file->st_ino * EROFS_SLOT;
  if (pread(listing.image, &block, sizeof block, inode + EROFS_START_AT) != sizeof block) return -1;
  off_t start = (off_t)block * EROFS_BLOCK;
  for (off_t from = 0; known == 0 && from < file->st_size; from += page_bytes)
    if ((pages[from / page_bytes] & 1) && add_range(start + from, start + from + page_bytes) < 0) return -1;
  return 0;
}

static int by_start(const void *one, const void *other) {
  off_t a = ((const struct range *)one)->from, b = ((const struct range *)other)->from;
  return (a > b) - (a < b);
}

static int write_list(const char *target) {
  char fresh[PATH_MAX];
  FILE *list = snprintf(fresh, sizeof fresh, "%s.new", target) < (int)sizeof fresh ? fopen(fresh, "we") : NULL;
  if (list == NULL) return -1;
  qsort(listing.ranges, listing.count, sizeof *listing.ranges, by_start);
  for (size_t first = 0, next; first < listing.count; first = next) {
    off_t end = listing.ranges[first].end;
    for (next = first + 1; next < listing.count && listing.ranges[next].from <= end + NEAR_BYTES; next++)
      end = listing.ranges[next].end;
    fprintf(list, "%lld %lld\n", (long long)listing.ranges[first].from, (long long)end);
  }
  return fclose(list) == 0 ? rename(fresh, target) : -1;
}

/* Inodes and folders, which are behind all contents, and what of the contents was read. */
static int list_reads(const char *image, const char *tree, const char *target) {
  uint32_t magic, block;
  struct stat file;
  listing.image = open(image, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (listing.image < 0 || fstat(listing.image, &file) < 0) return -1;
  if (pread(listing.image, &magic, sizeof magic, EROFS_MAGIC_AT) != sizeof magic || magic != EROFS_MAGIC) return -1;
  if (pread(listing.image, &block, sizeof block, EROFS_META_AT) != sizeof block) return -1;
  listing.meta = (off_t)block * EROFS_BLOCK;
  if (add_range(listing.meta, file.st_size) < 0 || nftw(tree, list_file, 16, FTW_PHYS) != 0) return -1;
  return write_list(target);
}

static int forget_file(const char *path, const struct stat *file, int type, struct FTW *at) {
  (void)file, (void)at;
  int fd = type == FTW_F ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
  if (fd >= 0) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), close(fd);
  return 0;
}

static int read_ahead(const char *image, const char *path) {
  int fd = open(image, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  FILE *list = fopen(path, "re");
  if (fd < 0 || list == NULL) return -1;
  for (long long from, end; fscanf(list, "%lld %lld", &from, &end) == 2;)
    for (; from < end; from += AHEAD_STEP)
      posix_fadvise(fd, from, end - from < AHEAD_STEP ? end - from : AHEAD_STEP, POSIX_FADV_WILLNEED);
  return 0;
}

/* A process of its own: the disk may be slow, and the next request is a claim's. It ends with everything that it has opened. */
static int in_background(char **args) {
  static int running;
  while (running > 0 && waitpid(-1, NULL, WNOHANG) > 0) running--;
  if (running >= MAX_BACKGROUND) return 0;
  pid_t child = fork();
  if (child < 0) return fail("fork");
  if (child > 0) return running++, 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm(BACKGROUND_SECONDS);
  if (strcmp(args[0], "ahead") == 0) _exit(read_ahead(args[1], args[2]) != 0);
  setpriority(PRIO_PROCESS, 0, 19);
  if (strcmp(args[0], "list") == 0) _exit(list_reads(args[1], args[2], args[3]) != 0);
  _exit(nftw(args[1], forget_file, 16, FTW_PHYS) != 0);
}

static int unescape(char *text) {
  char *to = text;
  for (char *from = text; *from != '\0'; from++, to++) {
    *to = *from;
    if (*from != '%') continue;
    unsigned byte;
    if (sscanf(from + 1, "%2x", &byte) != 1 || byte == 0) return -1;
    *to = (char)byte;
    from += 2;
  }
  *to = '\0';
  return 0;
}

static int run(int count, char **args) {
  const char *op = args[0];
  if (count == 1 && strcmp(op, "ping") == 0) return 0;
  if (count == 3 && strcmp(op, "stage") == 0) return stage(args[1], args[2]);
  if (count == 5 && strcmp(op, "volume") == 0) return make_volume(args[1], args[2], args[3], args[4]);
  if (count == 4 && strcmp(op, "image") == 0) return mount_image(args[1], args[2], args[3]);
  if (count == 4 && strcmp(op, "bind") == 0) return bind_code(args[1], args[2], args[3]);
  if (count == 2 && strcmp(op, "unmount") == 0) return unmount(args[1]);
  if (count == 2 && strcmp(op, "forget") == 0) return in_background(args);
  if (count == 4 && strcmp(op, "list") == 0) return in_background(args);
  if (count == 3 && strcmp(op, "ahead") == 0) return in_background(args);
  errno = EINVAL;
  return fail("no such request:");
}

int main(int argc, char **argv) {
  static char line[LINE_BYTES];
  is_classic = argc > 1 && strcmp(argv[1], "--classic") == 0;
  /* what was asked by a host-agent that is gone must not be done beside the next one */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  umask(0);
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (strchr(line, '\n') == NULL) return 2;
    char *args[MAX_ARGS + 1], *rest = NULL;
    char *id = strtok_r(line, " \n", &rest);
    if (id == NULL) continue;
    int count = 0, is_wrong = 0;
    for (char *arg; count < MAX_ARGS && (arg = strtok_r(NULL, " \n", &rest)) != NULL; count++) {
      args[count] = arg;
      is_wrong |= unescape(arg);
    }
    errno = is_wrong || count == 0 ? EINVAL : 0;
    failed_step = "read the request:";
    int code = errno != 0 ? errno : run(count, args);
    if (code == 0) printf("%s ok\n", id);
    else printf("%s %d %s\n", id, code, failed_step);
  }
  return 0;
}
