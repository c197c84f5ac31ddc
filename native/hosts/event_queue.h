// Events of the engine's thread, as objects for a JavaScript function. Never keeps the process alive.
#pragma once

#include <napi.h>

#include <mutex>
#include <vector>

#include "surroundings.h"

namespace ivshmem::hosts {

class EventQueue {
 public:
  EventQueue(Napi::Env env, Napi::Function on_event);
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  // From any thread.
  void Push(Event event);
  // On the thread of JavaScript, when nobody pushes any more; nothing is called after that.
  void Close();

 private:
  ~EventQueue() = default;  // by the function's finalizer, after Close

  void Deliver(napi_env env, napi_value function);

  std::mutex mutex_;
  std::vector<Event> events_;
  size_t refused_ = 0;
  bool closed_ = false;
  napi_threadsafe_function function_ = nullptr;
};

}  // namespace ivshmem::hosts
