/*
 * cirri-stream: both ends of TCP connections that carry random bytes both ways, in messages of random sizes with random pauses, checked
 * byte for byte. For paths under a connection that change while it runs: nothing may be lost, doubled or out of order.
 *
 *   cirri-stream listen PORT CONNECTIONS SEED MESSAGES MODE        says "listening" first
 *   cirri-stream connect ADDRESS PORT CONNECTIONS SEED MESSAGES MODE
 *
 * MODE: `block` reads and writes in blocking threads, `poll` without blocking and with poll(2). Either end sends MESSAGES messages in
 * each connection, then shuts its side down, and reads until the other has. At the end a line: bytes read and written, how often a
 * blocking call said EAGAIN, and messages sent. Exit 1 and a line that says where, when a byte is not what was sent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 256 * 1024, WAIT_MS = 20000 };

struct way {
	int fd;
	bool poll, peeks;
	uint64_t seed, messages;
	unsigned char buffer[BUFFER];
};

static uint64_t bytes_read, bytes_written, again, sent;

static void fail(const char *what, uint64_t at)
{
	printf("failed: %s at byte %llu: %s\n", what, (unsigned long long)at, strerror(errno));
	fflush(stdout);
	_exit(1);
}

/* splitmix64: of a position, so that either end knows every byte without the other. */
static uint64_t mix(uint64_t n)
{
	n += 0x9e3779b97f4a7c15ULL;
	n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9ULL;
	n = (n ^ (n >> 27)) * 0x94d049bb133111ebULL;
	return n ^ (n >> 31);
}

static void content(unsigned char *to, uint64_t seed, uint64_t offset, size_t length)
{
	for (size_t i = 0; i < length;) {
		uint64_t word = mix(seed ^ ((offset + i) >> 3));
		unsigned at = (offset + i) & 7, n = 8 - at;

		word >>= 8 * at;
		if (n > length - i)
			n = length - i;
		memcpy(to + i, &word, n);
		i += n;
	}
}

static uint64_t next(uint64_t *state)
{
	return mix((*state)++);
}

/* Mostly what programs say to each other, now and then more than any buffer. */
static size_t message_size(uint64_t *state)
{
	uint64_t n = next(state), kind = n % 100, size = n >> 8;

	return kind < 40 ? 1 + size % 64 : kind < 90 ? 1 + size % 4096 : kind < 99 ? 1 + size % 65536 : 1 + size % BUFFER;
}

static void rest(uint64_t *state)
{
	uint64_t n = next(state);
	struct timespec time = { .tv_nsec = n % 1000 < 3 ? (n >> 16) % 3000000 : (n >> 16) % 20000 };

	if (n % 1000 < 40)
		nanosleep(&time, NULL);
	else if (n % 1000 < 200)
		sched_yield();
}

static void ready(const struct way *way, short events, uint64_t at)
{
	struct pollfd poller = { .fd = way->fd, .events = events };

	if (poll(&poller, 1, WAIT_MS) == 0) {
		errno = ETIMEDOUT;
		fail(events == POLLIN ? "nothing to read" : "no room to write", at);
	}
}

/* EAGAIN of a blocking socket is counted; its SO_RCVTIMEO and SO_SNDTIMEO are so long that none of it is theirs. */
static bool try_again(const struct way *way, short events, uint64_t at)
{
	if (errno == EINTR)
		return true;
	if (errno != EAGAIN)
		return false;
	if (!way->poll)
		__atomic_add_fetch(&again, 1, __ATOMIC_RELAXED);
	ready(way, events, at);
	return true;
}

static void *writer(void *argument)
{
	struct way *way = argument;
	uint64_t state = way->seed, pauses = ~way->seed, offset = 0;

	for (uint64_t i = 0; i < way->messages; i++) {
		size_t size = message_size(&state), done = 0;

		content(way->buffer, way->seed, offset, size);
		while (done < size) {
			ssize_t n = send(way->fd, way->buffer + done, size - done, MSG_NOSIGNAL | (way->poll ? MSG_DONTWAIT : 0));

			if (n > 0)
				done += n;
			else if (!try_again(way, POLLOUT, offset + done))
				fail("send", offset + done);
		}
		offset += size;
		rest(&pauses);
	}
	if (shutdown(way->fd, SHUT_WR))
		fail("shutdown", offset);
	__atomic_add_fetch(&bytes_written, offset, __ATOMIC_RELAXED);
	__atomic_add_fetch(&sent, way->messages, __ATOMIC_RELAXED);
	free(way);
	return NULL;
}

static void *reader(void *argument)
{
	struct way *way = argument;
	uint64_t state = way->seed, pauses = ~way->seed + 1, offset = 0, total = 0;
	unsigned char *wanted = malloc(BUFFER);

	for (uint64_t i = 0; i < way->messages; i++)
		total += message_size(&state);
	for (;;) {
		uint64_t n = next(&pauses);
		size_t room = n % 3 ? BUFFER : 1 + (n >> 8) % 2000;
		int flags = (way->poll ? MSG_DONTWAIT : 0) | (way->peeks && n % 16 == 5 ? MSG_PEEK : 0);
		ssize_t got = recv(way->fd, way->buffer, room, flags);

		if (got == 0)
			break;
		if (got < 0) {
			if (!try_again(way, POLLIN, offset))
				fail("recv", offset);
			continue;
		}
		content(wanted, way->seed, offset, got);
		for (ssize_t i = 0; i < got; i++) {
			if (way->buffer[i] != wanted[i]) {
				errno = EILSEQ;
				fail(flags & MSG_PEEK ? "peek" : "read", offset + i);
			}
		}
		if (!(flags & MSG_PEEK))
			offset += got;
		rest(&pauses);
	}
	errno = EPIPE;
	if (offset != total)
		fail("end", offset);
	__atomic_add_fetch(&bytes_read, offset, __ATOMIC_RELAXED);
	free(wanted);
	free(way);
	return NULL;
}

static pthread_t start(void *(*run)(void *), int fd, uint64_t seed, uint64_t messages, bool poll)
{
	struct way *way = calloc(1, sizeof(*way));
	pthread_t thread;

	way->fd = fd;
	way->poll = poll;
	way->peeks = seed & 2;
	way->seed = mix(seed);
	way->messages = messages;
	errno = pthread_create(&thread, NULL, run, way);
	if (errno)
		fail("pthread_create", 0);
	return thread;
}

static int listener(int port)
{
	struct sockaddr_in6 here = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int one = 1, fd = socket(AF_INET6, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (void *)&here, sizeof(here)) || listen(fd, 128))
		fail("listen", 0);
	puts("listening");
	fflush(stdout);
	return fd;
}

static int connected(const char *address, int port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	bool is_six = inet_pton(AF_INET6, address, &six.sin6_addr) == 1;
	int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, address, &four.sin_addr);
	if (connect(fd, is_six ? (void *)&six : (void *)&four, is_six ? sizeof(six) : sizeof(four)))
		fail("connect", 0);
	return fd;
}

int main(int count, char **words)
{
	bool listens = count == 7 && !strcmp(words[1], "listen"), connects = count == 8 && !strcmp(words[1], "connect");
	struct timeval patience = { .tv_sec = WAIT_MS / 1000 };

	if (!listens && !connects) {
		fputs("cirri-stream listen PORT CONNECTIONS SEED MESSAGES MODE | connect ADDRESS PORT CONNECTIONS SEED MESSAGES MODE\n", stderr);
		return 2;
	}
	words += listens ? 1 : 2;
	int port = atoi(words[1]), connections = atoi(words[2]), one = 1;
	uint64_t seed = strtoull(words[3], NULL, 0) << 10, messages = strtoull(words[4], NULL, 0);
	int from = listens ? listener(port) : -1;
	pthread_t threads[2 * 64];

	if (connections < 1 || connections > 64)
		return 2;
	for (int i = 0; i < connections; i++) {
		int fd = listens ? accept(from, NULL, NULL) : connected(words[0], port);
		/* Connections are accepted in no certain order: all of a run carry the same bytes, another stream each way. */
		uint64_t out = seed + (listens ? 0 : 2), in = seed + (listens ? 2 : 0);

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		threads[2 * i] = start(writer, fd, out, messages, !strcmp(words[5], "poll"));
		threads[2 * i + 1] = start(reader, fd, in, messages, !strcmp(words[5], "poll"));
	}
	for (int i = 0; i < 2 * connections; i++)
		pthread_join(threads[i], NULL);
	printf("read %llu written %llu again %llu messages %llu\n", (unsigned long long)bytes_read, (unsigned long long)bytes_written,
	       (unsigned long long)again, (unsigned long long)sent);
	return 0;
}
