#!/bin/sh
# The whole table; the same command goes on in the next slot. Further options go to madnet compare, such as
# --jobs 4 (runs side by side on one card) or --shard 1/8 (one of eight cards).
cd "$(dirname "$0")/../.." || exit 1
for plan in common published; do
    madnet compare "experiments/gpu_table/plan_$plan.yaml" \
        --json "experiments/gpu_table/comparison_$plan.json" "$@" || exit
done
