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
 *
 *   <id> ok
 *   <id> <errno> <what failed>
 *
 * Bytes of an argument other than printable ASCII, and "%" and " ", come as %XX. "--classic" keeps to mount(2), which is what kernels
 * and sandboxes without the newer calls get by themselves. Needs Linux 5.10 for nosymfollow.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LINE_BYTES 65536
#define MAX_ARGS 6
#define VOLUME_SOURCE "code.warmpool.dev"
#define TMPFS_MAGIC 0x01021994

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
