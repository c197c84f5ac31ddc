// Explores every order of events around the nodes of native/dsm/protocol.h, breadth first: deliveries,
// members' acknowledgements, faults, evictions, deaths, partitions, joins. In each state: one writer or any
// number of readers, no stale byte readable, nothing lost while a copy is alive, no rejected message between
// honest nodes; and where nothing is left to happen by itself, nobody waits. The shortest way to a violation
// is printed.
//
// dsm_model [NAME [MAX_STATES]] runs one scenario, or all but the long ones; those with a mutant have to find
// a violation.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <unordered_set>

#include "dsm_world.h"

namespace ivshmem::dsm::model {

namespace {

//  name                nodes pages faults evict deaths part joins
const Scenario kScenarios[] = {
    {"two-nodes", 2, 1, -1, -1, 0, 0, 0},
    {"two-nodes-two-pages", 2, 2, 4, 1, 0, 0, 0},
    {"two-nodes-death", 2, 1, -1, -1, 1, 0, 0},
    {"two-nodes-partition", 2, 1, -1, -1, 0, 1, 0},
    {"three-nodes", 3, 1, -1, -1, 0, 0, 0},
    {"three-nodes-two-pages", 3, 2, 3, 1, 0, 0, 0},
    {"three-nodes-death", 3, 1, 4, 0, 1, 0, 0},
    {"three-deaths", 3, 1, 3, 0, 2, 0, 0},
    {"eviction-death", 3, 1, 3, 1, 1, 0, 0},
    {"two-pages-death", 3, 2, 2, 0, 1, 0, 0},
    {"partition", 3, 1, 3, 1, 0, 1, 0},
    {"partition-death", 3, 1, 2, 0, 1, 1, 0},
    {"join", 3, 1, 3, 0, 0, 0, 1},
    {"join-death", 3, 1, 2, 0, 1, 0, 1},
    {"long-partition-death", 3, 1, 3, 1, 1, 1, 0},
    {"long-two-nodes-two-pages", 2, 2, -1, -1, 0, 0, 0},
    {"long-three-nodes-death", 3, 1, -1, -1, 1, 0, 0},
    {"long-partition", 3, 1, -1, -1, 0, 1, 0},
    {"long-join", 3, 1, 4, 1, 0, 0, 1},
    {"long-join-death", 3, 1, 3, 1, 1, 0, 1},
    {"long-deaths", 3, 1, -1, -1, 2, 0, 0},
    {"long-two-pages", 3, 2, 4, 1, 0, 0, 0},
    {"long-two-pages-death", 3, 2, 3, 1, 1, 0, 0},
    {"mutant-reorder", 3, 1, 3, 0, 0, 0, 0, Mutant::kReorder},
    {"mutant-lose", 2, 1, 2, 0, 0, 0, 0, Mutant::kLose},
    {"mutant-duplicate", 3, 1, 3, 0, 0, 0, 0, Mutant::kDuplicate},
    {"mutant-early-ack", 3, 1, 3, 0, 0, 0, 0, Mutant::kEarlyAck},
    {"mutant-no-lease", 3, 1, 3, 0, 0, 1, 0, Mutant::kNoLease},
};

// States are known by 128 bits of hash: at ten million states a collision has a chance of 10^-25.
struct Key {
  uint64_t low, high;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  size_t operator()(const Key& key) const { return key.low; }
};

Key Hash(const std::vector<uint64_t>& words) {
  Key key{0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f};
  for (const uint64_t word : words) {
    key.low = (key.low ^ word) * 0xff51afd7ed558ccd;
    key.low ^= key.low >> 32;
    key.high = (key.high + word) * 0xc4ceb9fe1a85ec53 + key.low;
    key.high ^= key.high >> 29;
  }
  return key;
}

struct Step {
  uint32_t parent;
  Action action;
};

void PrintTrace(const std::vector<Step>& steps, uint32_t last, const Action* next,
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
std::string Explore(const Scenario& scenario, size_t max_states, bool print) {
  const auto started = std::chrono::steady_clock::now();
  std::unordered_set<Key, KeyHash> seen;
  std::vector<Step> steps{{0, {}}};
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
    for (const Action& action : state.Actions(scenario)) {
      State next = state;
      if (!next.Apply(scenario, action, violation)) continue;
      transitions++;
      moving |= action.type == ActionType::kDeliver || action.type == ActionType::kAck ||
                action.type == ActionType::kExclude || action.type == ActionType::kInstall;
      if (!violation.empty()) {
        if (print) PrintTrace(steps, index, &action, violation);
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
    if (!violation.empty() && print) PrintTrace(steps, index, nullptr, violation);
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - started;
  const char* end = !violation.empty() ? "violation" : frontier.empty() ? "complete" : "cut off";
  std::printf("%-20s %9zu states %10zu transitions %7zu at rest %6.1f s  %s\n", scenario.name, seen.size(),
              transitions, rests, spent.count(), end);
  std::fflush(stdout);
  return violation;
}

}  // namespace

int Main(int argc, char** argv) {
  const char* only = argc > 1 && std::strcmp(argv[1], "all") != 0 ? argv[1] : nullptr;
  const size_t max_states = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10'000'000;
  int wrong = 0;
  int run = 0;
  for (const Scenario& scenario : kScenarios) {
    const bool lengthy = std::strncmp(scenario.name, "long-", 5) == 0;
    if (only == nullptr ? lengthy : std::strcmp(only, scenario.name) != 0) continue;
    run++;
    const bool mutant = scenario.mutant != Mutant::kNone;
    const bool found = !Explore(scenario, max_states, true).empty();
    if (found == mutant) continue;
    std::printf("%s: %s\n", scenario.name, mutant ? "the mutant was not noticed" : "FAILED");
    wrong++;
  }
  return wrong == 0 && run > 0 ? 0 : 1;
}

}  // namespace ivshmem::dsm::model

int main(int argc, char** argv) { return ivshmem::dsm::model::Main(argc, argv); }
