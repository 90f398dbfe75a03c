#!/usr/bin/env bash
# Makes the tables in this folder anew: results/renew.sh [NAME…] [OPTION…]
#
# NAME is one of the runs below, by default all; every OPTION goes to `reprbench run`: --plan shows what is already there, --jobs 2
# runs two trials at a time. REPRBENCH_DATA names a folder with mnist/ (its four files) and cifar/ (CIFAR-10 as JPEG files in
# train/<class>/ and test/<class>/). Each trial has one thread. The sizes are what two cores manage in some hours.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1

CIFAR="folder[path=cifar,title=CIFAR-10 (JPEG)]"
NAMES=(quick mnist mnist-robustness paper-figures reconstruction-cifar10 single-layer-cifar10 table1-cifar10 objectives-cifar10
    ame-ae-partners ame-ae-statistics ame-ae-mechanism ame-ae-finalists ame-ae-digits
    ame-ae-confirmation)

words_of() {  # prints the options of a run, one on a line
    case $1 in
        quick) printf '%s\n' --seeds 0,1,2 ;;
        mnist) printf '%s\n' --set width=8 --epochs 2 --seeds 0,1,2 ;;
        mnist-robustness) printf '%s\n' --set width=8 --limit test=2000 --epochs 2 --seeds 0,1,2,3,4 ;;
        # The learners of mnist-robustness, with its learning rate.
        paper-figures) printf '%s\n' --dataset mnist --methods "ae,ameae,denoising-ameae" --set width=8 --set lr=1e-3 \
            --limit test=2000 --epochs 2 --seeds 0,1,2 ;;
        reconstruction-cifar10) printf '%s\n' --dataset "$CIFAR" --set width=8 --limit unlabeled=10000,test=1000 ;;
        single-layer-cifar10 | objectives-cifar10) printf '%s\n' --dataset "$CIFAR" ;;
        # The fits of ame-ae-confirmation, on whose seeds nothing was chosen.
        table1-cifar10) printf '%s\n' --dataset "$CIFAR" --set width=16 --limit unlabeled=10000 --epochs 6 --seeds 10,11,12,13 \
            --methods ae,dae,sparse-ae,ameae,sparse-ameae,denoising-ameae,kmeans,random-patches,untrained,raw-pixels,pca ;;
        ame-ae-*) ;;
    esac
}

chosen=()
while [[ $# -gt 0 && $1 != -* ]]; do
    if [[ " ${NAMES[*]} " != *" $1 "* ]]; then
        echo "results/renew.sh: no run is called $1; there are: ${NAMES[*]}" >&2
        exit 2
    fi
    chosen+=("$1")
    shift
done
for name in "${chosen[@]:-${NAMES[@]}}"; do
    benchmark=$name
    [[ $name == ame-ae-* ]] && benchmark=benchmarks/ame-ae/$name.yaml
    mapfile -t words < <(words_of "$name")
    echo "== $name"
    reprbench run --benchmark "$benchmark" "${words[@]}" --store results "$@"
done
