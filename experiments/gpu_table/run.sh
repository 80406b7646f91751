#!/bin/sh
# The whole table; the same command goes on in the next slot. Further options go to madnet compare, such as
# --jobs 4 (runs side by side on one card) or --shard 1/8 (one of eight cards).
cd "$(dirname "$0")/../.." || exit 1
worst=0
for plan in published common; do
    madnet compare "experiments/gpu_table/plan_$plan.yaml" \
        --json "experiments/gpu_table/comparison_$plan.json" "$@" || worst=$?
    # 1: some runs failed, all others are done; above: wrong input, or the slot is over
    [ "$worst" -le 1 ] || break
done
exit "$worst"
