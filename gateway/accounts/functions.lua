#!lua name=tokenway_accounts_v1
-- API keys as the ledger reads them: org v(version) st(1 active, 0 disabled, D deleted) lim per exp name label cat rpm tpm con created updated,
-- and the counters that only the ledger writes. A deleted key stays as a tombstone: its journal lines and open holds need it.
local function call(...) return redis.call(...) end -- redis.call itself does not exist at load time either

-- KEYS key org_keys | ARGV hash created_ms, then field value ...: usable and listed at the same instant
local function create(K, A)
  if call('EXISTS', K[1]) == 1 then return {'EXISTS'} end
  call('ZADD', K[2], A[2], A[1])
  call('HSET', K[1], 'v', '1', 'created', A[2], unpack(A, 3))
  return {'OK'}
end

-- KEYS key | ARGV now_ms, then op field value ...; op is = (set) or - (unset). Every change is a new version.
local function change(K, A)
  local k = call('HMGET', K[1], 'st', 'v')
  if not k[1] or k[1] == 'D' then return {'NOKEY'} end
  for i = 2, #A, 3 do
    if A[i] == '-' then call('HDEL', K[1], A[i + 1]) else call('HSET', K[1], A[i + 1], A[i + 2]) end
  end
  call('HSET', K[1], 'v', string.format('%.0f', tonumber(k[2]) + 1), 'updated', A[1])
  return {'OK'}
end

-- KEYS account | ARGV requests a minute, tokens a minute, requests at once: a number, 0 for none, empty to leave it as it is
local function rate(K, A)
  local parts = {string.match(call('HGET', K[1], 'rate') or '0:0:0', '^(%d+):(%d+):(%d+)$')}
  for i = 1, 3 do if A[i] ~= '' then parts[i] = A[i] end end
  local text = table.concat(parts, ':')
  if text == '0:0:0' then call('HDEL', K[1], 'rate') else call('HSET', K[1], 'rate', text) end
  return {'OK'}
end

redis.register_function('tokenway_accounts_v1_rate', rate)
redis.register_function('tokenway_accounts_v1_create', create)
redis.register_function('tokenway_accounts_v1_change', change)
