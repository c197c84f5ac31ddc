// Two pinned processes on one shared mapping, and the one-line JSON that every contestant prints.
#pragma once
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 5
#define CACHE_LINE 64

// Options common to all contestants: cpu A measures, cpu B answers or feeds; ms bounds one sample.
struct options {
  int cpu_a, cpu_b;
  double ms;
  const char *mode;
};

static inline struct options parse_options(int argc, char **argv) {
  struct options o = {0, 1, 200, ""};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--cpu-a")) o.cpu_a = atoi(argv[i + 1]);
    if (!strcmp(argv[i], "--cpu-b")) o.cpu_b = atoi(argv[i + 1]);
    if (!strcmp(argv[i], "--ms")) o.ms = atof(argv[i + 1]);
    if (!strcmp(argv[i], "--mode")) o.mode = argv[i + 1];
  }
  return o;
}

static inline void die(const char *what) {
  perror(what);
  exit(1);
}

static inline void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) die("sched_setaffinity");
}

static inline double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// A memfd as the product's server gives it: 4 KiB pages, all of them touched before anything is timed.
static inline void *share(size_t bytes) {
  int fd = memfd_create("bench", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, (off_t)bytes)) die("memfd_create");
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (p == MAP_FAILED) die("mmap");
  memset(p, 0, bytes);
  close(fd);
  return p;
}

// The child runs `body` on cpu B and is killed with its parent or by end_pair.
static inline pid_t begin_pair(const struct options *o, void (*body)(void *), void *context) {
  pid_t child = fork();
  if (child < 0) die("fork");
  if (!child) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(o->cpu_b);
    body(context);
    _exit(0);
  }
  pin(o->cpu_a);
  return child;
}

static inline void end_pair(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

static inline int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static inline double median(const double *values, int n) {
  double sorted[64];
  memcpy(sorted, values, sizeof(double) * (size_t)n);
  qsort(sorted, (size_t)n, sizeof(double), ascending);
  return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static inline void print_batches(const char *unit, const double *batches, int n) {
  printf("{\"value\":%.6g,\"unit\":\"%s\",\"batches\":[", median(batches, n), unit);
  for (int i = 0; i < n; i++) printf("%s%.6g", i ? "," : "", batches[i]);
  printf("]}\n");
  fflush(stdout);
}

// Runs `step(context, n)` (n operations) as warm-up, then as BATCHES batches, each ms/BATCHES long.
// Returns nanoseconds per operation in `batches`.
static inline void time_batches(double ms, void (*step)(void *, uint64_t), void *context, double *batches) {
  uint64_t n = 64;
  double per;
  for (;;) {  // Warm-up: double the count until a quarter of the sample's time is spent.
    double t0 = now_ns();
    step(context, n);
    double spent = now_ns() - t0;
    per = spent / (double)n;
    if (spent >= ms * 1e6 / 8) break;
    n *= 2;
  }
  n = (uint64_t)(ms * 1e6 / BATCHES / per) + 1;
  for (int b = 0; b < BATCHES; b++) {
    double t0 = now_ns();
    step(context, n);
    batches[b] = (now_ns() - t0) / (double)n;
  }
}
