#ifndef IVSHMEM_QUIET_THREAD_H_
#define IVSHMEM_QUIET_THREAD_H_

#include <pthread.h>
#include <signal.h>

#include <initializer_list>
#include <system_error>
#include <thread>
#include <utility>

namespace ivshmem {

/**
 * Starts `run` in a thread that takes no signals, since those are for the threads of the program, except
 * `own`, which are for what the thread did itself. Returns an errno value, or 0.
 */
template <typename Run>
int StartQuietThread(std::thread* thread, const char* name, std::initializer_list<int> own, Run&& run) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  for (const int signal : own) sigdelset(&all, signal);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  try {
    *thread = std::thread(std::forward<Run>(run));
  } catch (const std::system_error& failure) {
    error = failure.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error == 0) pthread_setname_np(thread->native_handle(), name);
  return error;
}

}  // namespace ivshmem

#endif  // IVSHMEM_QUIET_THREAD_H_
