#include "event_queue.h"

#include <utility>

#include "../error.h"

namespace ivshmem::hosts {

namespace {

// Strangers can connect as often as they like: more of them at a time are not told of.
constexpr size_t kRefusedAtOnce = 64;
// Two of the longest texts that a directory says, in parts: others may say more than JavaScript takes.
constexpr size_t kMostTold = 8 << 20;

Napi::Object ObjectFrom(Napi::Env env, const Event& event) {
  Napi::Object object = Napi::Object::New(env);
  const auto number = [&](const char* name, double value) {
    object.Set(name, Napi::Number::New(env, value));
  };
  const auto text = [&](const char* name, const std::string& value) {
    object.Set(name, Napi::String::New(env, value));
  };
  switch (event.kind) {
    case Event::Kind::kUp:
      text("kind", "up");
      number("node", event.who);
      break;
    case Event::Kind::kDown:
      text("kind", "down");
      number("node", event.who);
      text("why", event.text);
      break;
    case Event::Kind::kRefused:
      text("kind", "refused");
      text("why", event.text);
      break;
    case Event::Kind::kTold:
      text("kind", "told");
      number("node", event.who);
      text("text", event.text);
      break;
    case Event::Kind::kReject:
      text("kind", "reject");
      number("node", event.who);
      number("space", event.space);
      text("why", event.text);
      break;
    case Event::Kind::kBroken:
    case Event::Kind::kSilent:
      text("kind", event.kind == Event::Kind::kBroken ? "broken" : "silent");
      number("slot", event.who);
      number("space", event.space);
      break;
    case Event::Kind::kFenced:
    case Event::Kind::kLapsed:
      text("kind", event.kind == Event::Kind::kFenced ? "fenced" : "lapsed");
      number("space", event.space);
      break;
    case Event::Kind::kLost:
      text("kind", "lost");
      number("space", event.space);
      number("page", static_cast<double>(event.page));
      break;
  }
  return object;
}

}  // namespace

EventQueue::EventQueue(Napi::Env env, Napi::Function on_event, std::function<void()> taken)
    : taken_(std::move(taken)) {
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<EventQueue*>(data); };
  const auto call = [](napi_env env, napi_value function, void* context, void*) {
    // Null: the environment is going.
    if (env != nullptr && function != nullptr) static_cast<EventQueue*>(context)->Deliver(env, function);
  };
  CheckStatus(
      env, napi_create_threadsafe_function(env, on_event, nullptr, Napi::String::New(env, "ivshmem-node"), 0,
                                           1, this, finalize, this, call, &function_));
  CheckStatus(env, napi_unref_threadsafe_function(env, function_));
}

void EventQueue::Push(Event event) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  const bool refused = event.kind == Event::Kind::kRefused;
  if (refused && refused_ >= kRefusedAtOnce) return;
  if (refused) refused_++;
  if (event.kind == Event::Kind::kTold) told_ += event.text.size();
  events_.push_back(std::move(event));
  // One call delivers all that are there by then.
  if (events_.size() == 1) napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
}

bool EventQueue::Full() {
  const std::lock_guard lock(mutex_);
  const bool full = told_ >= kMostTold;
  found_full_ |= full;
  return full;
}

void EventQueue::Deliver(napi_env raw, napi_value value) {
  const Napi::Env env(raw);
  const Napi::Function function(env, value);
  std::vector<Event> events;
  bool found_full = false;
  {
    const std::lock_guard lock(mutex_);
    events.swap(events_);
    refused_ = told_ = 0;
    found_full = std::exchange(found_full_, false);
  }
  if (found_full && !closed_) taken_();
  for (const Event& event : events) {
    const Napi::HandleScope scope(env);
    // It may have been closed by the event before.
    if (closed_) return;
    napi_value argument = nullptr;
    try {
      argument = ObjectFrom(env, event);
    } catch (const Napi::Error&) {
      return;  // JavaScript is being stopped
    }
    napi_value receiver = nullptr, result = nullptr;
    if (napi_get_undefined(raw, &receiver) != napi_ok) return;
    if (napi_call_function(raw, receiver, function, 1, &argument, &result) == napi_ok) continue;
    // What the function throws is uncaught; the other events are delivered all the same.
    napi_value thrown = nullptr;
    if (napi_get_and_clear_last_exception(raw, &thrown) != napi_ok) return;
    napi_fatal_exception(raw, thrown);
  }
}

void EventQueue::Close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  napi_release_threadsafe_function(function_, napi_tsfn_abort);
}

}  // namespace ivshmem::hosts
