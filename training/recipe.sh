#!/bin/bash
# The whole recipe on a machine with one or two GPUs: speech → codec, codes, DiT, vocoder, Thinker, Talker.
#
#   training/recipe.sh OUTPUT [SECONDS]
#
# OUTPUT gets every part's newest weights as pieces (training.pieces) as soon as there are some, and the tokenizer they
# were trained with, so that nothing is lost when the machine goes away. Variables, with their defaults:
set -u
OUTPUT=${1:?usage: training/recipe.sh OUTPUT [SECONDS]}
BUDGET=${2:-1700}                 # wall-clock seconds of everything
ROOT=${ROOT:-}                    # where Debian packages were unpacked with dpkg -x; empty: they are installed
DATA=${DATA:-/dev/shm/tandem}     # speech
RUNS=${RUNS:-runs}                # checkpoints and logs
PYTHON=${PYTHON:-python3}
SEED=${SEED:-7}
SCALE=${SCALE:-2}                 # size of the Thinker's batches
RATE=${RATE:-7e-4}                # its highest learning rate
SYNTHESIS_SHARE=${SYNTHESIS_SHARE:-0.14}
TTS_SHARE=${TTS_SHARE:-$SYNTHESIS_SHARE} # of the time, for the voices that the Talker learns
THINKER_SHARE=${THINKER_SHARE:-0.66}
CODEC_SHARE=${CODEC_SHARE:-0.045}
DIT_SHARE=${DIT_SHARE:-0.17}
VOCODER_SHARE=${VOCODER_SHARE:-0.85}
TALKER_SHARE=${TALKER_SHARE:-0.2} # of the last Talker, after the Thinker
SLT_HOURS=${SLT_HOURS:-30}
RMS_HOURS=${RMS_HOURS:-14}
FESTIVAL=${FESTIVAL:-1}           # 0: without the festival voices ked and hts-slt
INIT=${INIT:-}                    # OUTPUT of an earlier run or a checkpoint: its Thinker and Talker are continued
CODEC=${CODEC:-}                  # folder of the codec that this Talker speaks: then codec, DiT and vocoder are not trained
THINKER_OPTIONS=${THINKER_OPTIONS:-}
TALKER_OPTIONS=${TALKER_OPTIONS:-}
SAVE_EVERY=${SAVE_EVERY:-180}

cd "$(dirname "$0")/.." || exit 1
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
if [ -n "$ROOT" ]; then
  export TANDEM_DEBIAN_ROOT=$ROOT
  # Debian's festival reads its first file from there only.
  [ -e /usr/share/festival ] || ln -s "$ROOT/usr/share/festival" /usr/share/festival
fi
WORDNET=${ROOT:-}/usr/share/wordnet
BEGAN=$(date +%s)
LOGS=$RUNS/logs
mkdir -p "$OUTPUT" "$LOGS" "$DATA"
rm -f "$RUNS"/*.done
cp training/tokenizer/tokenizer.json "$OUTPUT/tokenizer.json"
GPUS=${GPUS:-$(nvidia-smi -L 2>/dev/null | grep -c GPU)}
COMPILE=${COMPILE:-$(( GPUS > 0 ? 1 : 0 ))}
SECOND=$(( GPUS > 1 ? 1 : 0 ))
CORES=$(env -u OMP_NUM_THREADS nproc) # nproc would answer with OMP_NUM_THREADS

CODEC_FILE=${CODEC:-$RUNS/codec/codec.safetensors}

share() { awk -v b="$BUDGET" -v s="$1" 'BEGIN { printf "%d", b * s }'; }
part_of_cores() { awk -v c="$CORES" -v s="$1" 'BEGIN { n = int(c * s); print n < 1 ? 1 : n }'; }
elapsed() { echo $(( $(date +%s) - BEGAN )); }
left() { echo $(( BUDGET - $(elapsed) - $1 )); }
say() { echo "$(elapsed)s $*"; }
stage() { # NAME COMMAND…: run with a log, and leave NAME.done behind whatever happens
  local name=$1; shift
  say "$name begins"
  if "$@" > "$LOGS/$name.log" 2>&1; then say "$name done"; else say "$name FAILED: see $LOGS/$name.log"; fi
  touch "$RUNS/$name.done"
}
await() { for name in "$@"; do while [ ! -e "$RUNS/$name.done" ]; do sleep 1; done; done; }
keep() { # PART FILE [--float32]
  local part=$1 file=$2; shift 2
  [ -e "$file" ] && $PYTHON -m training.pieces "$file" "$OUTPUT" --part "$part" "$@" >> "$LOGS/pieces.log" 2>&1
}
keep_newer() { # PART FILE [--float32]
  local stamp=$RUNS/.kept-$(echo "$2" | tr '/' '-')
  if [ -e "$2" ] && { [ ! -e "$stamp" ] || [ "$2" -nt "$stamp" ]; }; then touch "$stamp"; keep "$@"; fi
}
speak() { # NAME FOLDER VOICES HOURS SHARE PROCESSES [OPTION…]
  local name=$1 folder=$2 voices=$3 hours=$4 share=$5 processes=$6; shift 6
  stage "$name" nice -n 5 $PYTHON -m training.synthesis --out "$DATA/$folder" --voice "$voices" --hours "$hours" \
    --seconds "$(share "$share")" --processes "$processes" --seed "$SEED" ${ROOT:+--root "$ROOT"} "$@"
}
talker() { # NAME SECONDS OPTION…
  local name=$1 seconds=$2; shift 2
  # shellcheck disable=SC2086
  stage "$name" $PYTHON -m training.talker --codes "$RUNS/codes" --codec "$CODEC_FILE" \
    --thinker "$RUNS/thinker/thinker.safetensors" --seconds "$seconds" --workers "$(part_of_cores 0.3)" \
    --out "$RUNS/$name" "$@" $TALKER_OPTIONS
}

encode() {
  await slt rms
  stage codes $PYTHON -m training.codec encode --codec "$CODEC_FILE" --shards "$DATA/train/tts" --out "$RUNS/codes"
}
thinker() ( # OPTION…: on GPU 0, or with CODEC on all of them
  # shellcheck disable=SC2206
  ranks=1 command=($PYTHON -m training.thinker --shards "$DATA/train" --test-shards "$DATA/test" ${ROOT:+--root "$ROOT"}
    --wordnet "$WORDNET" --seconds "$(share "$THINKER_SHARE")" --examine-every 420 --save-every 120 --scale "$SCALE" --rate "$RATE"
    --seed "$SEED" --out "$RUNS/thinker" "$@" $THINKER_OPTIONS)
  [ -n "$CODEC" ] && [ "$GPUS" -gt 1 ] && ranks=$GPUS
  command+=(--workers "$(part_of_cores "$(awk -v n="$ranks" 'BEGIN { print (n > 1 ? 0.75 : 0.6) / n }')")")
  [ "$COMPILE" = 1 ] && command+=(--compile)
  if [ "$ranks" = 1 ]; then CUDA_VISIBLE_DEVICES=0 exec "${command[@]}"; fi
  export MASTER_ADDR=127.0.0.1 MASTER_PORT=29533 GLOO_SOCKET_IFNAME=lo NCCL_SOCKET_IFNAME=lo
  rm -f "$RUNS"/.rank-*
  for rank in $(seq 0 $(( ranks - 1 ))); do
    log=$LOGS/thinker.log; [ "$rank" -gt 0 ] && log=$LOGS/thinker-$rank.log
    ( WORLD_SIZE=$ranks RANK=$rank LOCAL_RANK=$rank "${command[@]}" >> "$log" 2>&1 && touch "$RUNS/.rank-$rank" ) &
  done
  began=$(elapsed)
  while sleep 1; do
    running=$(jobs -rp | wc -l)
    [ "$(( running + $(find "$RUNS" -name '.rank-*' | wc -l) ))" -lt "$ranks" ] && break # one failed
    [ "$running" = 0 ] && exit 0
    [ "$(( $(elapsed) - began ))" -gt 360 ] && ! grep -q '"step"' "$LOGS/thinker.log" && break # they never found each other
  done
  echo '{"warning": "goes on with one process"}'
  pkill -KILL -f -- "--out $RUNS/thinker"
  wait
  seconds=$(( $(share "$THINKER_SHARE") + began - $(elapsed) ))
  command+=(--seconds "$(( seconds > 60 ? seconds : 60 ))") # the last of an option counts
  [ -e "$RUNS/thinker/state.pt" ] && command+=(--resume "$RUNS/thinker" --later)
  CUDA_VISIBLE_DEVICES=0 exec "${command[@]}"
)

say "$GPUS GPUs, $CORES cores, $BUDGET s"
speak slt train/tts slt "$SLT_HOURS" "$TTS_SHARE" "$(part_of_cores 0.3)" --replies 0.2 &
speak rms train/tts rms "$RMS_HOURS" "$TTS_SHARE" "$(part_of_cores 0.15)" --replies 0.2 &
speak kal16 train/asr kal16 25 "$SYNTHESIS_SHARE" "$(part_of_cores 0.06)" --vary=0.15 &
speak espeak train/asr espeak 60 "$SYNTHESIS_SHARE" "$(part_of_cores 0.22)" --vary=0.2 &
[ "$FESTIVAL" = 1 ] && {
  speak ked train/asr ked 20 "$SYNTHESIS_SHARE" "$(part_of_cores 0.08)" --vary=0.2 &
  speak hts train/asr hts-slt 4 "$SYNTHESIS_SHARE" "$(part_of_cores 0.06)" --vary=0.2 &
}
speak awb test awb 0.15 "$SYNTHESIS_SHARE" 1 --split test &
speak testtts testtts slt,rms 0.1 "$SYNTHESIS_SHARE" 1 --split test &

( # GPU 0: the Thinker, then the last Talker on it
  resume=
  if [ -n "$INIT" ]; then
    mkdir -p "$RUNS/before"
    $PYTHON -c "import sys; from pathlib import Path; from safetensors.torch import save_file; from training.export import read_part
for part in ('thinker', 'talker'): save_file(read_part(Path(sys.argv[1]), part), Path(sys.argv[2]) / f'{part}.safetensors')" "$INIT" "$RUNS/before"
    resume="--resume $RUNS/before --later"
  fi
  # shellcheck disable=SC2086
  stage thinker thinker $resume
  keep thinker "$RUNS/thinker/thinker.safetensors"
  export CUDA_VISIBLE_DEVICES=0
  await talker1
  seconds=$(( $(left 45) < $(share "$TALKER_SHARE") ? $(left 45) : $(share "$TALKER_SHARE") ))
  first=$RUNS/talker1/talker.safetensors
  [ -n "$CODEC" ] && first=$RUNS/before/talker.safetensors
  [ "$seconds" -gt 20 ] && talker talker2 "$seconds" $([ -e "$first" ] && echo --init "$first" --learning-rate 5e-4)
  keep talker "$RUNS/talker2/talker.safetensors"
  touch "$RUNS/gpu0.done"
) &

[ -n "$CODEC" ] && ( # the voices stay: only new codes are wanted
  CUDA_VISIBLE_DEVICES=$SECOND encode
  touch "$RUNS/talker1.done" "$RUNS/gpu1.done"
) &

[ -z "$CODEC" ] && ( # GPU 1, or the same one: what speaks
  export CUDA_VISIBLE_DEVICES=$SECOND
  until [ "$(find "$DATA/train/tts" -name 'slt*.npz' 2>/dev/null | wc -l)" -ge 40 ] || [ -e "$RUNS/slt.done" ]; do sleep 1; done
  ( stage vocoder $PYTHON -m training.vocoder --shards "$DATA/train/tts" --test-shards "$DATA/testtts" --out "$RUNS/vocoder" \
      --hours 12 --seconds "$(share "$VOCODER_SHARE")"
    keep vocoder "$RUNS/vocoder/vocoder.safetensors" --float32 ) &
  stage codec $PYTHON -m training.codec train --shards "$DATA/train/tts" --test-shards "$DATA/testtts" --out "$RUNS/codec" \
    --seconds "$(share "$CODEC_SHARE")"
  keep codec "$CODEC_FILE"
  cp "$RUNS/codec/codec.json" "$OUTPUT/" 2>/dev/null
  encode
  stage dit $PYTHON -m training.dit --shards "$DATA/train/tts" --test-shards "$DATA/testtts" \
    --codec "$CODEC_FILE" --out "$RUNS/dit" --seconds "$(share "$DIT_SHARE")"
  keep dit "$RUNS/dit/dit.safetensors"
  cp "$RUNS/dit/voices.pt" "$OUTPUT/" 2>/dev/null
  # A first Talker on the Thinker as it is, until that is done.
  until [ -e "$RUNS/thinker/thinker.safetensors" ] || [ -e "$RUNS/thinker.done" ]; do sleep 1; done
  seconds=$(( $(share "$THINKER_SHARE") - $(elapsed) ))
  [ "$seconds" -gt 30 ] && talker talker1 "$seconds" ${INIT:+--init "$RUNS/before/talker.safetensors"}
  keep talker "$RUNS/talker1/talker.safetensors"
  touch "$RUNS/talker1.done"
  wait
  touch "$RUNS/gpu1.done"
) &

( # the newest weights, every few minutes
  until [ -e "$RUNS/gpu0.done" ]; do
    for _ in $(seq "$SAVE_EVERY"); do [ -e "$RUNS/gpu0.done" ] && break; sleep 1; done
    [ -e "$RUNS/thinker.done" ] || keep_newer thinker "$RUNS/thinker/thinker.safetensors"
    [ -e "$RUNS/dit.done" ] || keep_newer dit "$RUNS/dit/dit.safetensors"
    [ -e "$RUNS/vocoder.done" ] || keep_newer vocoder "$RUNS/vocoder/vocoder.safetensors" --float32
    for name in talker1 talker2; do [ -e "$RUNS/$name.done" ] || keep_newer talker "$RUNS/$name/talker.safetensors"; done
  done
) &
wait
cp "$LOGS"/*.log "$OUTPUT/" 2>/dev/null
say "done: $(ls "$OUTPUT" | tr '\n' ' ')"
