// Explores every order of events of a world, breadth first, until nothing new comes or something goes wrong;
// the shortest way to a violation is printed. A world is a State, made from a Scenario (with `name` and
// `mutant`), with Actions(), Apply(), CheckAtRest() and Digest(); Describe() and ByItself() are about its
// actions: what happens by itself keeps the world from being at rest.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace ivshmem::dsm::model {

// States are known by 128 bits of hash: at ten million states a collision has a chance of 10^-25.
struct Key {
  uint64_t low, high;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  size_t operator()(const Key& key) const { return key.low; }
};

inline Key Hash(const std::vector<uint64_t>& words) {
  Key key{0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f};
  for (const uint64_t word : words) {
    key.low = (key.low ^ word) * 0xff51afd7ed558ccd;
    key.low ^= key.low >> 32;
    key.high = (key.high + word) * 0xc4ceb9fe1a85ec53 + key.low;
    key.high ^= key.high >> 29;
  }
  return key;
}

template <class Action>
struct Step {
  uint32_t parent;
  Action action;
};

template <class Action>
void PrintTrace(const std::vector<Step<Action>>& steps, uint32_t last, const Action* next,
                const std::string& violation) {
  std::vector<Action> actions;
  for (uint32_t at = last; at != 0; at = steps[at].parent) actions.push_back(steps[at].action);
  size_t number = 0;
  for (auto at = actions.rbegin(); at != actions.rend(); ++at) {
    std::printf("    %2zu %s\n", ++number, Describe(*at).c_str());
  }
  if (next != nullptr) std::printf("    %2zu %s\n", ++number, Describe(*next).c_str());
  std::printf("       -> %s\n", violation.c_str());
}

// The violation found, or nothing.
template <class State, class Scenario>
std::string Explore(const Scenario& scenario, size_t max_states, bool print) {
  using Act = typename decltype(std::declval<State>().Actions(scenario))::value_type;
  const auto started = std::chrono::steady_clock::now();
  std::unordered_set<Key, KeyHash> seen;
  std::vector<Step<Act>> steps{{0, {}}};
  std::deque<State> frontier;
  std::vector<uint64_t> words;
  frontier.emplace_back(scenario);
  frontier.front().Digest(words);
  seen.insert(Hash(words));
  size_t transitions = 0;
  size_t rests = 0;
  std::string violation;
  uint32_t index = 0;
  for (; !frontier.empty() && violation.empty() && seen.size() < max_states; index++) {
    const State state = std::move(frontier.front());
    frontier.pop_front();
    bool moving = false;
    for (const Act& action : state.Actions(scenario)) {
      State next = state;
      if (!next.Apply(scenario, action, violation)) continue;
      transitions++;
      moving |= ByItself(action);
      if (!violation.empty()) {
        if (print) PrintTrace<Act>(steps, index, &action, violation);
        break;
      }
      next.Digest(words);
      if (!seen.insert(Hash(words)).second) continue;
      steps.push_back({index, action});
      frontier.push_back(std::move(next));
    }
    if (moving || !violation.empty()) continue;
    rests++;
    violation = state.CheckAtRest();
    if (!violation.empty() && print) PrintTrace<Act>(steps, index, nullptr, violation);
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - started;
  const char* end = !violation.empty() ? "violation" : frontier.empty() ? "complete" : "cut off";
  std::printf("%-20s %9zu states %10zu transitions %7zu at rest %6.1f s  %s\n", scenario.name, seen.size(),
              transitions, rests, spent.count(), end);
  std::fflush(stdout);
  return violation;
}

// One scenario by its name, or all but the long ones; those with a mutant have to find a violation.
template <class State, class Scenario, size_t kCount>
int RunScenarios(int argc, char** argv, const Scenario (&scenarios)[kCount]) {
  const char* only = argc > 1 && std::strcmp(argv[1], "all") != 0 ? argv[1] : nullptr;
  const size_t max_states = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10'000'000;
  int wrong = 0;
  int run = 0;
  for (const Scenario& scenario : scenarios) {
    const bool lengthy = std::strncmp(scenario.name, "long-", 5) == 0;
    if (only == nullptr ? lengthy : std::strcmp(only, scenario.name) != 0) continue;
    run++;
    const bool mutant = scenario.mutant != decltype(scenario.mutant){};
    const bool found = !Explore<State>(scenario, max_states, true).empty();
    if (found == mutant) continue;
    std::printf("%s: %s\n", scenario.name, mutant ? "the mutant was not noticed" : "FAILED");
    wrong++;
  }
  return wrong == 0 && run > 0 ? 0 : 1;
}

}  // namespace ivshmem::dsm::model
