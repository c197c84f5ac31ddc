/* A small ivshmem client for the protocol tests: one process per join, so that a join costs a millisecond and can be
 * ended with SIGKILL. Usage: joiner MODE SOCKET MESSAGES
 *   hold     take MESSAGES messages, print "id=N fds=N", sleep until killed
 *   late     the same, but read nothing before a line comes on stdin
 *   part     take MESSAGES messages and exit, in the middle of the handshake when they are few
 *   chatter  take MESSAGES messages, print, then send bytes and descriptors until the server hangs up
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int Connect(const char* path) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length >= sizeof name.sun_path) exit(2);
  memcpy(name.sun_path, path, length);
  if (path[0] == '@') name.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr*)&name, offsetof(struct sockaddr_un, sun_path) + length) < 0) {
    perror("connect");
    exit(1);
  }
  return fd;
}

/* One message; the descriptor, if any, stays open. */
static int64_t Take(int socket_fd, int* fds) {
  int64_t value = 0;
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec vector = {&value, sizeof value};
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(socket_fd, &message, MSG_WAITALL);
  if (got != sizeof value) {
    fprintf(stderr, "end of stream\n");
    exit(1);
  }
  if (message.msg_controllen > 0) ++*fds;
  return value;
}

static void Chatter(int socket_fd) {
  for (;;) {
    char junk[4096];
    memset(junk, 0xa5, sizeof junk);
    union {
      struct cmsghdr header;
      char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    int passed = STDOUT_FILENO;
    memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
    struct iovec vector = {junk, 1 + (size_t)rand() % sizeof junk};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    if (sendmsg(socket_fd, &message, MSG_NOSIGNAL) < 0) {
      perror("sendmsg");
      exit(1);
    }
    usleep(100);
  }
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  int socket_fd = Connect(argv[2]);
  char line[16];
  if (strcmp(argv[1], "late") == 0 && fgets(line, sizeof line, stdin) == NULL) return 1;
  int64_t id = -1;
  int fds = 0;
  for (int i = 0; i < atoi(argv[3]); ++i) {
    int64_t value = Take(socket_fd, &fds);
    if (i == 1) id = value;
  }
  if (strcmp(argv[1], "part") == 0) return 0;
  printf("id=%lld fds=%d\n", (long long)id, fds);
  fflush(stdout);
  if (strcmp(argv[1], "chatter") == 0) Chatter(socket_fd);
  for (;;) pause();
}
