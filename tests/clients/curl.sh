#!/usr/bin/env bash
# Plain curl against a running Dynode, as its documentation says it.
set -euo pipefail
url=$1/v1

# That `$1` holds `$2`.
holds() {
  [[ $1 == *"$2"* ]] || { printf 'expected %s in:\n%s\n' "$2" "$1" >&2; exit 1; }
}

ask() {
  curl --silent --show-error --max-time 30 "$@"
}

chat='{"model":"sim-fast","messages":[{"role":"user","content":"Hello there"}]}'
holds "$(ask "$url/chat/completions" --json "$chat")" '"content":"You said: Hello there"'
# `-d` alone says that it is a form.
holds "$(ask "$url/chat/completions" -d "$chat")" '"content":"You said: Hello there"'
streamed=$(ask --no-buffer "$url/chat/completions" --json "${chat%\}},\"stream\":true}")
holds "$streamed" '"content":"You"'
holds "$streamed" 'data: [DONE]'

question='{"model":"sim-fast","input":"Hello there"}'
holds "$(ask "$url/responses" --json "$question")" '"text":"You said: Hello there"'
streamed=$(ask --no-buffer "$url/responses" --json "${question%\}},\"stream\":true}")
holds "$streamed" 'event: response.output_text.delta'
holds "$streamed" 'event: response.completed'

ask "$url/responses" -H 'Idempotency-Key: curl-1' --json "$question" >/dev/null
holds "$(ask "$url/responses/resp_curl-1")" '"status":"completed"'
holds "$(ask "$url/feedback" --json '{"id":"resp_curl-1","rating":"up"}')" '"rating":1.0'
ask "$url/feedback" --json '{"id":"curl-1","rating":-0.5}' >/dev/null
holds "$(ask "$url/feedback/curl-1")" '"rating":-0.5'
holds "$(ask "$url/feedback/curl-1")" '"model":"sim-fast"'
# Counted once, as it was rated first.
counted=$(ask "$1/metrics" | grep '^dynode_feedback_total{')
holds "$counted" 'model="sim-fast"'
holds "$counted" 'rating="up"'
[[ $counted == *' 1' ]] || { printf 'expected one rating in:\n%s\n' "$counted" >&2; exit 1; }
holds "$(ask -X DELETE "$url/responses/resp_curl-1")" '"deleted":true'

holds "$(ask "$url/embeddings" --json '{"model":"sim-embed","input":"hello"}')" '"object":"embedding"'
holds "$(ask "$url/models")" '"id":"sim-chat"'

refused=$(ask --include "$url/responses" --json '{"model":"sim-fast","input":"x","tools":[{"type":"web_search"}]}')
holds "$refused" 'HTTP/1.1 400'
holds "$refused" 'x-request-id: req_'
holds "$refused" '"param":"tools[0].type"'
