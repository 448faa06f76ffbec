/*
 * cirri-shim: what must stay beside a container while the kubelet comes and goes, and the few kernel calls that the kubelet
 * needs around it. Static, one page of state, no allocation after start.
 *
 *   cirri-shim run --id ID --runc FILE --root DIR --bundle DIR --log FILE --log-max BYTES --exits DIR --scratch BYTES
 *   cirri-shim netns NETNS [IPCNS]      new namespaces, bind-mounted at these files; loopback is up
 *   cirri-shim unmount PATH...          lazily; what is not mounted is no error; the file or folder is removed
 *   cirri-shim tmpfs PATH BYTES         a tmpfs at PATH, unless there is one
 *   cirri-shim bind FILE PATH           binds FILE on PATH (made when missing)
 *
 * `run`, as a picture:
 *
 *   kubelet ──spawns──► shim (subreaper, own session) ──► child: own mount namespace, overlay of / at BUNDLE/rootfs
 *                        │  ▲                                └─exec─► runc run --detach ──► container
 *                        │  └───────── reaped here when runc has gone ◄──────────────────────┘
 *                        ├─ stdout, stderr ──► LOG in CRI form, rotated at BYTES to LOG.rotated
 *                        ├─ "started PID\n" or "failed CODE\n" on its own stdout, once
 *                        └─ at the end EXITS/ID (written aside and renamed: whole or absent)
 *
 * The overlay is mounted in the child's namespace, so the host's mount table never grows with the number of containers and
 * nothing is left mounted when everything has been killed. BUNDLE/shim.pid and BUNDLE/pid hold "PID" lines for adoption.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READ_BUFFER = 16 * 1024, WRITE_BUFFER = 32 * 1024, DRAIN_MS = 1000, STAMP_ROOM = 64 };

static void fail(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vdprintf(2, format, arguments);
	va_end(arguments);
	dprintf(2, ": %s\n", strerror(errno));
	exit(1);
}

/* ---- small commands ------------------------------------------------------------------------------------------------ */

static void make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC, 0444);
	if (fd < 0) fail("create %s", path);
	close(fd);
}

static void bind_namespace(const char *kind, const char *path)
{
	make_file(path);
	if (mount(kind, path, NULL, MS_BIND, NULL) != 0) fail("bind %s on %s", kind, path);
}

static void loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK };
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) fail("bring loopback up");
	close(fd);
}

static int command_netns(int count, char **words)
{
	if (count < 1) return 2;
	if (unshare(CLONE_NEWNET | (count > 1 ? CLONE_NEWIPC : 0)) != 0) fail("make namespaces");
	loopback_up();
	bind_namespace("/proc/self/ns/net", words[0]);
	if (count > 1) bind_namespace("/proc/self/ns/ipc", words[1]);
	return 0;
}

static int command_unmount(int count, char **words)
{
	int failures = 0;
	for (int i = 0; i < count; i++) {
		/* Stacked mounts come off one by one; EINVAL says that nothing (more) is mounted there. */
		for (int layer = 0; layer < 16 && umount2(words[i], MNT_DETACH | UMOUNT_NOFOLLOW) == 0; layer++) { }
		if (unlink(words[i]) != 0 && errno == EISDIR) rmdir(words[i]);
		struct stat st;
		if (lstat(words[i], &st) == 0 && !S_ISDIR(st.st_mode)) {
			dprintf(2, "remove %s: still there\n", words[i]);
			failures++;
		}
	}
	return failures > 0;
}

static int command_tmpfs(int count, char **words)
{
	if (count != 2) return 2;
	struct statfs fs;
	char options[64];
	if (mkdir(words[0], 0700) != 0 && errno != EEXIST) fail("make %s", words[0]);
	if (statfs(words[0], &fs) == 0 && fs.f_type == 0x01021994 /* TMPFS_MAGIC */) {
		char parent[PATH_MAX];
		struct stat here, above;
		snprintf(parent, sizeof parent, "%s/..", words[0]);
		if (stat(words[0], &here) == 0 && stat(parent, &above) == 0 && here.st_dev != above.st_dev) return 0;
	}
	snprintf(options, sizeof options, "mode=0711,size=%s", words[1]);
	if (mount("tmpfs", words[0], "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) fail("mount tmpfs at %s", words[0]);
	return 0;
}

static int command_bind(int count, char **words)
{
	if (count != 2) return 2;
	make_file(words[1]);
	if (mount(words[0], words[1], NULL, MS_BIND, NULL) != 0) fail("bind %s on %s", words[0], words[1]);
	return 0;
}

/* ---- run: the container's log ---------------------------------------------------------------------------------------- */

struct container_log {
	const char *path;
	int fd;
	off_t size, max;
	size_t used;
	char out[WRITE_BUFFER];
};

struct stream {
	const char *name;
	int fd;
	size_t used;
	char in[READ_BUFFER];
};

static struct container_log logfile = { .fd = -1 };
static struct stream streams[2] = { { .name = "stdout", .fd = -1 }, { .name = "stderr", .fd = -1 } };

static void log_open(struct container_log *log)
{
	struct stat st;
	log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	log->size = log->fd >= 0 && fstat(log->fd, &st) == 0 ? st.st_size : 0;
}

/* A full disk loses lines and nothing else: the container must never block on its log. */
static void log_flush(struct container_log *log)
{
	for (size_t done = 0; log->fd >= 0 && done < log->used;) {
		ssize_t n = write(log->fd, log->out + done, log->used - done);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) break;
		done += n;
		log->size += n;
	}
	log->used = 0;
	if (log->size <= log->max) return;
	char rotated[PATH_MAX];
	snprintf(rotated, sizeof rotated, "%s.rotated", log->path);
	if (log->fd >= 0) close(log->fd);
	rename(log->path, rotated);
	log_open(log);
}

static size_t format_time(char *into, size_t room)
{
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	return snprintf(into, room, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	                tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec);
}

static void log_line(struct container_log *log, const char *stamp, const char *name, char tag, const char *text, size_t length)
{
	if (log->used + length + STAMP_ROOM + 16 > sizeof log->out) log_flush(log);
	log->used += snprintf(log->out + log->used, sizeof log->out - log->used, "%s %s %c ", stamp, name, tag);
	memcpy(log->out + log->used, text, length);
	log->used += length;
	log->out[log->used++] = '\n';
}

/* Whole lines go out; a rest stays for the next read unless the buffer is full (then it goes as a partial line, tag P). */
static void stream_split(struct stream *s, bool at_end)
{
	char stamp[STAMP_ROOM];
	size_t start = 0;
	format_time(stamp, sizeof stamp);
	for (char *end; (end = memchr(s->in + start, '\n', s->used - start)) != NULL; start = end - s->in + 1)
		log_line(&logfile, stamp, s->name, 'F', s->in + start, end - (s->in + start));
	size_t rest = s->used - start;
	if (rest == sizeof s->in || (at_end && rest > 0)) {
		log_line(&logfile, stamp, s->name, at_end ? 'F' : 'P', s->in + start, rest);
		rest = 0;
	} else if (start > 0) {
		memmove(s->in, s->in + start, rest);
	}
	s->used = rest;
	log_flush(&logfile);
}

static void stream_read(struct stream *s)
{
	ssize_t n = read(s->fd, s->in + s->used, sizeof s->in - s->used);
	if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
	if (n > 0) s->used += n;
	stream_split(s, n <= 0);
	if (n <= 0) {
		close(s->fd);
		s->fd = -1;
	}
}

/* ---- run: the container ---------------------------------------------------------------------------------------------- */

struct run_options {
	const char *id, *runc, *root, *bundle, *exits, *scratch;
};

static void write_pid(const char *bundle, const char *name, pid_t pid)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", bundle, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0) fail("write %s", path);
	dprintf(fd, "%d\n", pid);
	close(fd);
}

static pid_t read_pid(const char *bundle, const char *name)
{
	char path[PATH_MAX], text[32] = "";
	snprintf(path, sizeof path, "%s/%s", bundle, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return 0;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	return n > 0 ? atoi(text) : 0;
}

/* In the child: the host's root as the lower layer (its submounts are not part of it), a bounded tmpfs as the upper one. */
static void mount_root(const struct run_options *o)
{
	char options[64];
	if (chdir(o->bundle) != 0) fail("enter %s", o->bundle);
	if (unshare(CLONE_NEWNS) != 0) fail("make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) fail("make mounts private");
	mkdir("rootfs", 0755);
	mkdir("scratch", 0755);
	snprintf(options, sizeof options, "mode=0755,size=%s", o->scratch);
	if (mount("tmpfs", "scratch", "tmpfs", 0, options) != 0) fail("mount a tmpfs for the upper layer");
	if (mkdir("scratch/upper", 0755) != 0 || mkdir("scratch/work", 0755) != 0) fail("make the upper layer");
	if (mount("overlay", "rootfs", "overlay", 0, "lowerdir=/,upperdir=scratch/upper,workdir=scratch/work") != 0)
		fail("mount an overlay of / (the kernel needs overlayfs)");
}

static void child_exec(const struct run_options *o, int out, int err)
{
	char runc_log[PATH_MAX], pid_file[PATH_MAX];
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	mount_root(o);
	int null = open("/dev/null", O_RDONLY);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(126);
	if (null > 2) close(null);
	snprintf(runc_log, sizeof runc_log, "%s/runc.log", o->bundle);
	snprintf(pid_file, sizeof pid_file, "%s/pid", o->bundle);
	execl(o->runc, "runc", "--root", o->root, "--log", runc_log, "--log-format", "json", "run", "--detach", "--bundle", o->bundle,
	      "--pid-file", pid_file, o->id, (char *)NULL);
	fail("start %s", o->runc);
}

/* The record of the end. exitCode is what Kubernetes shows: 128 + signal for a killed container. */
static void write_exit(const struct run_options *o, pid_t pid, bool started, int status, const char *started_at)
{
	char aside[PATH_MAX], path[PATH_MAX], now[STAMP_ROOM];
	int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	format_time(now, sizeof now);
	snprintf(aside, sizeof aside, "%s/.%s", o->exits, o->id);
	snprintf(path, sizeof path, "%s/%s", o->exits, o->id);
	int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0) return;
	dprintf(fd, "{\"id\":\"%s\",\"pid\":%d,\"started\":%s,\"exitCode\":%d,\"signal\":%d,\"startedAt\":\"%s\",\"finishedAt\":\"%s\"}\n", o->id, pid,
	        started ? "true" : "false", code, WIFSIGNALED(status) ? WTERMSIG(status) : 0, started_at, now);
	close(fd);
	rename(aside, path);
}

struct reaping {
	pid_t runc, init;
	bool runc_done, started, ended;
	int status;
	char started_at[STAMP_ROOM];
};

/* Says once how the start went, and lets go of the kubelet's pipes. */
static void report_start(const struct reaping *r, int runc_code)
{
	dprintf(1, r->started ? "started %d\n" : "failed %d\n", r->started ? r->init : runc_code);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, 1);
	dup2(null, 2);
	close(null);
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The container may end before runc does: then its zombie comes to us when runc exits, so an unknown pid waits in `early`. */
static void reap(struct reaping *r, const struct run_options *o)
{
	static struct { pid_t pid; int status; } early[64];
	static int early_count;
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		if (pid == r->runc) {
			r->runc_done = true;
			r->init = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? read_pid(o->bundle, "pid") : 0;
			r->started = r->init > 0;
			if (!r->started) {
				r->ended = true;
				r->status = status;
			}
			report_start(r, WEXITSTATUS(status));
			for (int i = 0; i < early_count && !r->ended; i++)
				if (early[i].pid == r->init) {
					r->ended = true;
					r->status = early[i].status;
				}
			/* Whoever reaped it before us took its status along: an end without a known code, and not a wait without an end. */
			if (!r->ended && kill(r->init, 0) != 0 && errno == ESRCH) {
				r->ended = true;
				r->status = 255 << 8;
			}
		} else if (pid == r->init) {
			r->ended = true;
			r->status = status;
		} else if (!r->runc_done && early_count < 64) {
			early[early_count].pid = pid;
			early[early_count++].status = status;
		}
	}
}

static int watch_container(struct reaping *r, const struct run_options *o, int signals)
{
	int64_t deadline = 0;
	for (;;) {
		int timeout = -1;
		if (r->ended) {
			/* The container's own processes are gone with its init; only a stranger that got the pipe could hold it open. */
			if (deadline == 0) deadline = now_ms() + DRAIN_MS;
			timeout = deadline > now_ms() ? (int)(deadline - now_ms()) : 0;
			if (timeout == 0 || (streams[0].fd < 0 && streams[1].fd < 0)) return 0;
		}
		struct pollfd fds[3] = { { .fd = signals, .events = POLLIN }, { .fd = streams[0].fd, .events = POLLIN }, { .fd = streams[1].fd, .events = POLLIN } };
		if (poll(fds, 3, timeout) < 0 && errno != EINTR) return 1;
		for (int i = 0; i < 2; i++)
			if (fds[i + 1].revents && streams[i].fd >= 0) stream_read(&streams[i]);
		if (fds[0].revents) {
			struct signalfd_siginfo info[8];
			if (read(signals, info, sizeof info) < 0 && errno != EAGAIN && errno != EINTR) return 1;
		}
		if (!r->ended) reap(r, o);
	}
}

static bool take_options(int count, char **words, struct run_options *o)
{
	for (int i = 0; i + 1 < count; i += 2) {
		const char *flag = words[i], *value = words[i + 1];
		if (!strcmp(flag, "--id")) o->id = value;
		else if (!strcmp(flag, "--runc")) o->runc = value;
		else if (!strcmp(flag, "--root")) o->root = value;
		else if (!strcmp(flag, "--bundle")) o->bundle = value;
		else if (!strcmp(flag, "--exits")) o->exits = value;
		else if (!strcmp(flag, "--scratch")) o->scratch = value;
		else if (!strcmp(flag, "--log")) logfile.path = value;
		else if (!strcmp(flag, "--log-max")) logfile.max = atoll(value);
		else return false;
	}
	return count % 2 == 0 && o->id && o->runc && o->root && o->bundle && o->exits && o->scratch && logfile.path && logfile.max > 0;
}

static int command_run(int count, char **words)
{
	struct run_options o = { 0 };
	struct reaping r = { 0 };
	int out[2], err[2];
	sigset_t watched;
	if (!take_options(count, words, &o)) return 2;
	setsid();
	write_pid(o.bundle, "shim.pid", getpid());
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) fail("become a subreaper");
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGHUP);
	sigprocmask(SIG_BLOCK, &watched, NULL);
	int signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) fail("make pipes");
	log_open(&logfile);
	format_time(r.started_at, sizeof r.started_at);
	r.runc = fork();
	if (r.runc < 0) fail("fork");
	if (r.runc == 0) child_exec(&o, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	streams[0].fd = out[0];
	streams[1].fd = err[0];
	int result = watch_container(&r, &o, signals);
	for (int i = 0; i < 2; i++)
		if (streams[i].used > 0) stream_split(&streams[i], true);
	write_exit(&o, r.init, r.started, r.status, r.started_at);
	return result;
}

int main(int argc, char **argv)
{
	int count = argc - 2;
	char **words = argv + 2;
	int result = 2;
	if (argc >= 2 && !strcmp(argv[1], "run")) result = command_run(count, words);
	else if (argc >= 2 && !strcmp(argv[1], "netns")) result = command_netns(count, words);
	else if (argc >= 2 && !strcmp(argv[1], "unmount")) result = command_unmount(count, words);
	else if (argc >= 2 && !strcmp(argv[1], "tmpfs")) result = command_tmpfs(count, words);
	else if (argc >= 2 && !strcmp(argv[1], "bind")) result = command_bind(count, words);
	if (result == 2) dprintf(2, "usage: cirri-shim run|netns|unmount|tmpfs|bind ... (see native/shim.c)\n");
	return result;
}
