// Events of the engine's thread, as objects for a JavaScript function. Never keeps the process alive.
#pragma once

#include <napi.h>

#include <functional>
#include <mutex>
#include <vector>

#include "surroundings.h"

namespace ivshmem::hosts {

class EventQueue {
 public:
  // `taken`: on the thread of JavaScript, when somebody has found the queue full and what was in it is taken.
  EventQueue(Napi::Env env, Napi::Function on_event, std::function<void()> taken);
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  // From any thread.
  void Push(Event event);
  // Texts of other nodes wait, more than may be. False: one more may be pushed.
  bool Full();
  // On the thread of JavaScript, when nobody pushes any more; nothing is called after that.
  void Close();

 private:
  ~EventQueue() = default;  // by the function's finalizer, after Close

  void Deliver(napi_env env, napi_value function);

  std::mutex mutex_;
  std::vector<Event> events_;
  size_t refused_ = 0;
  size_t told_ = 0;  // bytes of texts
  bool found_full_ = false;
  std::function<void()> taken_;
  bool closed_ = false;
  napi_threadsafe_function function_ = nullptr;
};

}  // namespace ivshmem::hosts
