/* Measures a network from inside a guest, against a server on the host.
 *   transfer send|receive|echo|connect ADDRESS PORT SECONDS
 * prints: what, and Gbit/s (send, receive), microseconds of a round trip (echo) or of a whole connection (connect). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_SIZE = 256 * 1024 };

static char buffer[BUFFER_SIZE];
static struct sockaddr_in server;

static void fail(const char *what)
{
    fprintf(stderr, "transfer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static int connect_server(void)
{
    int one = 1, file = socket(AF_INET, SOCK_STREAM, 0);
    if (file < 0 || connect(file, (struct sockaddr *)&server, sizeof(server)) != 0)
        fail("connect");
    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return file;
}

/* Until everything has been received by the server. */
static double send_data(double seconds)
{
    int file = connect_server();
    double start = now(), bytes = 0;
    while (now() - start < seconds) {
        ssize_t count = write(file, buffer, BUFFER_SIZE);
        if (count <= 0)
            fail("write");
        bytes += count;
    }
    shutdown(file, SHUT_WR);
    while (read(file, buffer, BUFFER_SIZE) > 0)
        ;
    double rate = bytes * 8e-9 / (now() - start);
    close(file);
    return rate;
}

static double receive_data(double seconds)
{
    int file = connect_server();
    double start = now(), bytes = 0;
    while (now() - start < seconds) {
        ssize_t count = read(file, buffer, BUFFER_SIZE);
        if (count <= 0)
            fail("read");
        bytes += count;
    }
    double rate = bytes * 8e-9 / (now() - start);
    close(file);
    return rate;
}

static void ping(int file)
{
    if (write(file, buffer, 1) != 1 || read(file, buffer, 1) != 1)
        fail("echo");
}

static double echo(double seconds)
{
    int file = connect_server(), count = 0;
    double start = now();
    for (; now() - start < seconds; count++)
        ping(file);
    double time = (now() - start) / count;
    close(file);
    return time * 1e6;
}

static double connect_often(double seconds)
{
    int count = 0;
    double start = now();
    for (; now() - start < seconds; count++) {
        int file = connect_server();
        ping(file);
        close(file);
    }
    return (now() - start) / count * 1e6;
}

int main(int count, char **words)
{
    if (count != 5) {
        fprintf(stderr, "usage: transfer send|receive|echo|connect ADDRESS PORT SECONDS\n");
        return 2;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(words[3]));
    inet_pton(AF_INET, words[2], &server.sin_addr);
    double seconds = atof(words[4]);
    double result = words[1][0] == 's' ? send_data(seconds)
        : words[1][0] == 'r' ? receive_data(seconds)
        : words[1][0] == 'e' ? echo(seconds) : connect_often(seconds);
    printf("%s %.6f\n", words[1], result);
    return 0;
}
