/** A space as tests of directories ask for it; what matters to a test it says itself. */
export const wantedSpace = {
  region: 'r',
  name: 'm',
  bytes: 4096,
  pageShift: 12,
  consistency: 'sequential' as const,
  replicas: 1,
  persistent: true,
  access: null,
  maker: 'x',
};
