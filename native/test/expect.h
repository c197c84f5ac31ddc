#ifndef IVSHMEM_TEST_EXPECT_H_
#define IVSHMEM_TEST_EXPECT_H_

#include <unistd.h>

#include <cstdio>

// Ends the process at once: other threads may be in the middle of anything.
#define EXPECT(condition)                                                          \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      _exit(1);                                                                    \
    }                                                                              \
  } while (false)

#endif  // IVSHMEM_TEST_EXPECT_H_
