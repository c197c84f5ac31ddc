import type { AppKind } from './app.ts';
import { jacobi } from './jacobi.ts';
import { kmeans } from './kmeans.ts';
import { matmul } from './matmul.ts';
import { quicksortApp } from './quicksort.ts';
import { tsp } from './tsp.ts';

export const apps: readonly AppKind[] = [jacobi, matmul, quicksortApp, tsp, kmeans];
