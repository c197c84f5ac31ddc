// Explores every order of events around the nodes of native/dsm/protocol.h, breadth first: deliveries,
// members' acknowledgements, faults, evictions, deaths, partitions, joins. In each state: one writer or any
// number of readers, no stale byte readable, nothing lost while a copy is alive, no rejected message between
// honest nodes; and where nothing is left to happen by itself, nobody waits. The shortest way to a violation
// is printed.
//
// dsm_model [NAME [MAX_STATES]] runs one scenario, or all but the long ones; those with a mutant have to find
// a violation.
#include "dsm_world.h"
#include "explore.h"

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

}  // namespace

}  // namespace ivshmem::dsm::model

int main(int argc, char** argv) {
  using namespace ivshmem::dsm::model;
  return RunScenarios<State>(argc, argv, kScenarios);
}
