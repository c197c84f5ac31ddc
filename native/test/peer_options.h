// The command line both peers take, and the file they map. In C, for linux_ring_peer.c.
#ifndef IVSHMEM_TEST_PEER_OPTIONS_H
#define IVSHMEM_TEST_PEER_OPTIONS_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "traffic.h"

// Fills `options`, maps the file (made beforehand, of zeros, of traffic_place().bytes); null after a message.
static inline unsigned char *peer_open(int argc, char **argv, struct traffic_options *options, int *device) {
  if (argc != 10 || (strcmp(argv[1], "driver") != 0 && strcmp(argv[1], "device") != 0)) {
    fprintf(stderr, "usage: %s driver|device FILE SIZE COUNT SEED BATCH CHAINED INDIRECT EVENTS\n", argv[0]);
    return NULL;
  }
  *device = strcmp(argv[1], "device") == 0;
  options->size = (uint32_t)strtoul(argv[3], NULL, 10);
  options->count = (uint32_t)strtoul(argv[4], NULL, 10);
  options->seed = (uint32_t)strtoul(argv[5], NULL, 10);
  options->batch = (uint32_t)strtoul(argv[6], NULL, 10);
  options->chained = argv[7][0] == '1';
  options->indirect = argv[8][0] == '1';
  options->events = argv[9][0] == '1';
  if (options->size < 1 || options->size > 32768 || options->batch < 1) {
    fprintf(stderr, "%s: bad size or batch\n", argv[0]);
    return NULL;
  }
  const int fd = open(argv[2], O_RDWR | O_CLOEXEC);
  const size_t bytes = (size_t)traffic_place(options->size).bytes;
  if (fd < 0 || lseek(fd, 0, SEEK_END) < (off_t)bytes) {
    fprintf(stderr, "%s: cannot open %s, or it is too short\n", argv[0], argv[2]);
    if (fd >= 0) close(fd);
    return NULL;
  }
  void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (base == MAP_FAILED) {
    perror("mmap");
    return NULL;
  }
  return (unsigned char *)base;
}

#endif
