/* A TCP proxy on loopback that adds a delay each way and takes away no throughput:
 *
 *   delay_proxy LISTEN-PORT SERVER-PORT DELAY-MS     DELAY-MS: one way, may have a fraction
 *
 * What arrives is passed on DELAY-MS later, in pieces that wait in memory; the first bytes of a connection wait two
 * delays more, as the handshake of TCP would. It knows no slow start and no loss. Runs until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE_SIZE     (128 * 1024)
#define HELD_SIZE_MAX  (64 * 1024 * 1024) /* of one direction; more stays in the sender's socket */
#define CONNECTIONS    1024
#define EVENTS_AT_ONCE 64

struct piece {
	struct piece *next;
	double due_ms;
	size_t size;
	size_t sent;
	char data[PIECE_SIZE];
};

/* One direction: read from `source`, held, written to `target`. */
struct flow {
	int source;
	int target;
	struct piece *first;
	struct piece *last;
	size_t held_size;
	double extra_ms; /* until the first piece has come */
	bool is_source_ended;
	bool is_target_blocked;
	bool is_done;
};

struct connection {
	bool is_used;
	struct flow flows[2];
};

struct proxy {
	int listener;
	int epoll;
	int server_port;
	double delay_ms;
	struct connection connections[CONNECTIONS];
};

static void die(const char *what)
{
	fprintf(stderr, "delay_proxy: error: could not %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_ms(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		die("read the clock");
	return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons((uint16_t) port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void socket_watch(const struct proxy *proxy, int fd, uint32_t index)
{
	/* Edge-triggered: whoever is told reads or writes until the socket would block, or its flow is full. */
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = index};
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
		die("set TCP_NODELAY");
	if (epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		die("watch a connection");
}

static void connection_accept(struct proxy *proxy)
{
	struct sockaddr_in address = loopback(proxy->server_port);
	uint32_t i = 0;
	int client = accept4(proxy->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (client < 0)
		return;
	while (i < CONNECTIONS && proxy->connections[i].is_used)
		i++;
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (i == CONNECTIONS || server < 0 || connect(server, (struct sockaddr *) &address, sizeof(address)) != 0) {
		close(client);
		if (server >= 0)
			close(server);
		return;
	}
	proxy->connections[i] =
		(struct connection){.is_used = true,
				    .flows = {{.source = client, .target = server, .extra_ms = 2 * proxy->delay_ms},
					      {.source = server, .target = client}}};
	socket_watch(proxy, client, i);
	socket_watch(proxy, server, i);
}

static void flow_read(const struct proxy *proxy, struct flow *flow)
{
	while (!flow->is_source_ended && flow->held_size < HELD_SIZE_MAX) {
		struct piece *piece = malloc(sizeof(*piece));
		if (piece == NULL)
			die("allocate");
		ssize_t size = recv(flow->source, piece->data, PIECE_SIZE, MSG_DONTWAIT);
		if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
			free(piece);
			return;
		}
		if (size <= 0)
			flow->is_source_ended = true;
		/* The end of the connection travels as a piece without bytes. */
		piece->next = NULL;
		piece->size = size > 0 ? (size_t) size : 0;
		piece->sent = 0;
		piece->due_ms = now_ms() + proxy->delay_ms + flow->extra_ms;
		flow->extra_ms = 0;
		if (flow->last != NULL && piece->due_ms < flow->last->due_ms)
			piece->due_ms = flow->last->due_ms;
		*(flow->last != NULL ? &flow->last->next : &flow->first) = piece;
		flow->last = piece;
		flow->held_size += piece->size;
	}
}

static void flow_drop(struct flow *flow)
{
	struct piece *piece = flow->first;

	flow->first = piece->next;
	if (flow->first == NULL)
		flow->last = NULL;
	flow->held_size -= piece->size;
	free(piece);
}

static void flow_write(struct flow *flow, double now)
{
	while (flow->first != NULL && flow->first->due_ms <= now && !flow->is_done && !flow->is_target_blocked) {
		struct piece *piece = flow->first;
		if (piece->size == 0) {
			shutdown(flow->target, SHUT_WR);
			flow->is_done = true;
			return;
		}
		ssize_t size = send(flow->target, piece->data + piece->sent, piece->size - piece->sent,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (size < 0 && errno == EAGAIN)
			flow->is_target_blocked = true;
		else if (size < 0 && errno != EINTR)
			flow->is_done = flow->is_source_ended = true;
		if (size > 0 && (piece->sent += (size_t) size) == piece->size)
			flow_drop(flow);
	}
}

static void connection_close(struct connection *connection)
{
	for (int i = 0; i < 2; i++) {
		while (connection->flows[i].first != NULL)
			flow_drop(&connection->flows[i]);
		close(connection->flows[i].source);
	}
	connection->is_used = false;
}

/* Moves what can be moved; returns when the next piece is due. */
static double connection_serve(const struct proxy *proxy, struct connection *connection, double next_ms)
{
	for (int i = 0; i < 2; i++) {
		struct flow *flow = &connection->flows[i];
		flow_read(proxy, flow);
		flow_write(flow, now_ms());
		/* What was full has room again, and no event will tell. */
		flow_read(proxy, flow);
		if (flow->first != NULL && !flow->is_target_blocked && !flow->is_done && flow->first->due_ms < next_ms)
			next_ms = flow->first->due_ms;
	}
	if (connection->flows[0].is_done && connection->flows[1].is_done)
		connection_close(connection);
	return next_ms;
}

static void proxy_run(struct proxy *proxy)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	double next_ms = now_ms() + 1000;

	for (;;) {
		double wait_ms = next_ms - now_ms();
		struct timespec wait = {.tv_nsec = wait_ms > 0 ? (long) (wait_ms * 1e6) : 0};
		wait.tv_sec = wait.tv_nsec / 1000000000;
		wait.tv_nsec %= 1000000000;
		int count = epoll_pwait2(proxy->epoll, events, EVENTS_AT_ONCE, &wait, NULL);
		if (count < 0 && errno != EINTR)
			die("wait for connections");
		for (int i = 0; i < count; i++) {
			if (events[i].data.u32 == CONNECTIONS)
				connection_accept(proxy);
			else if ((events[i].events & EPOLLOUT) != 0)
				for (int f = 0; f < 2; f++)
					proxy->connections[events[i].data.u32].flows[f].is_target_blocked = false;
		}
		next_ms = now_ms() + 1000;
		for (size_t i = 0; i < CONNECTIONS; i++)
			if (proxy->connections[i].is_used)
				next_ms = connection_serve(proxy, &proxy->connections[i], next_ms);
	}
}

int main(int argc, char **argv)
{
	static struct proxy proxy;
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = CONNECTIONS};
	int on = 1;

	if (argc != 4) {
		fprintf(stderr, "usage: delay_proxy LISTEN-PORT SERVER-PORT DELAY-MS\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	proxy.server_port = (int) strtol(argv[2], NULL, 10);
	proxy.delay_ms = strtod(argv[3], NULL);
	struct sockaddr_in address = loopback((int) strtol(argv[1], NULL, 10));
	proxy.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	proxy.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (proxy.listener < 0 || proxy.epoll < 0 ||
	    setsockopt(proxy.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(proxy.listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
	    listen(proxy.listener, 512) != 0 || epoll_ctl(proxy.epoll, EPOLL_CTL_ADD, proxy.listener, &event) != 0)
		die("listen");
	proxy_run(&proxy);
}
