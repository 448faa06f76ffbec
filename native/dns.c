/*
 * Both ends of a DNS look-up, for measuring what lies between them.
 *
 *     cirri-dns serve ADDRESS [PORT]              answers every A question with one address, until stdin ends
 *     cirri-dns ask ADDRESS PORT NAME COUNT       asks one after the other; prints p50, p90 and p99 in nanoseconds as JSON
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEADER 12
#define MOST 512

static void fail(const char *what)
{
	fprintf(stderr, "cirri-dns: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_socket(const char *address, const char *port, int passive)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int is_four = inet_pton(AF_INET, address, &four.sin_addr) == 1, fd;
	const struct sockaddr *end = is_four ? (struct sockaddr *)&four : (struct sockaddr *)&six;
	socklen_t size = is_four ? sizeof(four) : sizeof(six);

	if (!is_four && inet_pton(AF_INET6, address, &six.sin6_addr) != 1) {
		fprintf(stderr, "cirri-dns: %s is no address\n", address);
		exit(1);
	}
	fd = socket(end->sa_family, SOCK_DGRAM, 0);
	if (fd < 0)
		fail("socket");
	if (passive ? bind(fd, end, size) : connect(fd, end, size))
		fail(passive ? "bind" : "connect");
	return fd;
}

/* The question as it came, and one A record, which points to its name. */
static size_t answer(uint8_t *message, size_t length)
{
	static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 1 };
	size_t at = HEADER;

	while (at < length && message[at])
		at += message[at] + 1;
	at += 5;
	if (at > length || at + sizeof(record) > MOST)
		return 0;
	message[2] = 0x81;
	message[3] = 0x80;
	message[7] = 1;
	message[11] = 0;
	memcpy(message + at, record, sizeof(record));
	return at + sizeof(record);
}

static int serve(const char *address, const char *port)
{
	struct pollfd polled[2] = { { .fd = open_socket(address, port, 1), .events = POLLIN }, { .fd = 0, .events = POLLIN } };
	uint8_t message[MOST], rest[64];

	puts("ready");
	fflush(stdout);
	for (;;) {
		struct sockaddr_storage from;
		socklen_t size = sizeof(from);
		ssize_t length;

		if (poll(polled, 2, -1) < 0 && errno != EINTR)
			fail("poll");
		if (polled[1].revents && read(0, rest, sizeof(rest)) <= 0)
			return 0;
		if (!(polled[0].revents & POLLIN))
			continue;
		length = recvfrom(polled[0].fd, message, sizeof(message), 0, (struct sockaddr *)&from, &size);
		if (length < HEADER || message[2] & 0x80)
			continue;
		length = answer(message, length);
		if (length)
			sendto(polled[0].fd, message, length, 0, (struct sockaddr *)&from, size);
	}
}

static size_t question(uint8_t *message, uint16_t id, const char *name)
{
	size_t at = HEADER;

	memset(message, 0, HEADER);
	message[0] = id >> 8;
	message[1] = id;
	message[2] = 1;
	message[5] = 1;
	while (*name && at < MOST - 80) {
		size_t label = strcspn(name, ".");

		message[at++] = label;
		memcpy(message + at, name, label);
		at += label;
		name += label + (name[label] == '.');
	}
	memcpy(message + at, "\0\0\1\0\1", 5);
	return at + 5;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static int ask(const char *address, const char *port, const char *name, int count)
{
	int fd = open_socket(address, port, 0), answered = 0, refused = 0;
	uint64_t *took = calloc(count, sizeof(*took));
	struct timeval patience = { .tv_sec = 1 };
	uint8_t message[MOST], reply[MOST];

	if (!took)
		fail("calloc");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (int i = 0; i < count; i++) {
		size_t length = question(message, i, name);
		uint64_t began = now_ns();
		ssize_t got;

		if (send(fd, message, length, 0) < 0)
			continue;
		got = recv(fd, reply, sizeof(reply), 0);
		if (got < HEADER || memcmp(reply, message, 2))
			continue;
		if (reply[3] & 15)
			refused++;
		else
			took[answered++] = now_ns() - began;
	}
	qsort(took, answered, sizeof(*took), by_size);
	printf("{\"asked\":%d,\"answered\":%d,\"refused\":%d,\"p50\":%llu,\"p90\":%llu,\"p99\":%llu}\n", count, answered, refused,
	       (unsigned long long)(answered ? took[answered / 2] : 0), (unsigned long long)(answered ? took[answered * 9 / 10] : 0),
	       (unsigned long long)(answered ? took[answered * 99 / 100] : 0));
	free(took);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "serve"))
		return serve(argv[2], argc > 3 ? argv[3] : "53");
	if (argc == 6 && !strcmp(argv[1], "ask") && atoi(argv[5]) > 0)
		return ask(argv[2], argv[3], argv[4], atoi(argv[5]));
	fprintf(stderr, "usage: cirri-dns serve ADDRESS [PORT] | ask ADDRESS PORT NAME COUNT\n");
	return 2;
}
