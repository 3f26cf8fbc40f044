#!lua name=tokenway_analytics_v1
-- Counters of analytics: a batch is planned, its rows are written in small calls, then it is finished. See analytics/consumer.py.
local function call(...) return redis.call(...) end -- redis.call itself does not exist at load time either
local AT_ONCE = 4000 -- values of one command: Lua's stack holds some 8,000

-- KEYS cursor plan | ARGV cursor before, plan before or '', plan: 1, or 0 when another process has planned or finished since.
local function plan(K, A)
  if (call('GET', K[1]) or '0-0') ~= A[1] or (call('GET', K[2]) or '') ~= A[2] then return 0 end
  call('SET', K[2], A[3])
  return 1
end

-- One row: A[at] its name, then the number of values, values. Returns what follows. A hash that this or a later batch has written is
-- left as it is.
local function write(set, expires, command, A, at)
  local key, first, last = set .. ':' .. A[at], at + 2, at + 1 + A[at + 1]
  local found -- number of the batch that wrote the row last
  if command == 'HSET' then found = tonumber(call('HGET', key, '_') or nil) end
  if not found or found < tonumber(A[2]) then
    local new = not found and call('EXISTS', key) == 0
    if new then
      call('SADD', set, A[at])
      call('EXPIREAT', set, expires)
    end
    for from = first, last, AT_ONCE do
      local to = math.min(from + AT_ONCE - 1, last)
      if command == 'HSET' then call('HSET', key, '_', A[2], unpack(A, from, to)) else call(command, key, unpack(A, from, to)) end
    end
    if new then call('EXPIREAT', key, expires) end
  end
  return last + 1
end

-- KEYS plan | ARGV plan, its number, then of each bucket: set of its rows, expiry, HSET or PFADD, number of rows, rows as above
-- 0 when the plan is not in force any more.
local function count(K, A)
  if call('GET', K[1]) ~= A[1] then return 0 end
  local at = 3
  while at <= #A do
    local set, expires, command, rows = A[at], A[at + 1], A[at + 2], tonumber(A[at + 3])
    at = at + 4
    for _ = 1, rows do at = write(set, expires, command, A, at) end
  end
  return 1
end

-- KEYS cursor plan | ARGV cursor before, plan, cursor after, changes: msgpack of {hashes, seen, seen_ttl_s}
local function finish(K, A)
  if (call('GET', K[1]) or '0-0') ~= A[1] or call('GET', K[2]) ~= A[2] then return 0 end
  local hashes, seen, ttl = unpack(cmsgpack.unpack(A[4]))
  call('SET', K[1], A[3])
  for _, each in ipairs(hashes) do call('HINCRBY', each[1], each[2], each[3]) end
  for _, each in ipairs(seen) do call('SET', each[1], each[2], 'EX', ttl) end
  return 1
end

-- ARGV of each bucket: set of its rows, expiry, HSET or PFADD, number of rows, rows as above: they become what is given, whatever
-- they were.
local function replace(_, A)
  local at = 1
  while at <= #A do
    local set, expires, command, rows = A[at], A[at + 1], A[at + 2], tonumber(A[at + 3])
    local names = {}
    at = at + 4
    for row = 1, rows do
      local key, first, last = set .. ':' .. A[at], at + 2, at + 1 + A[at + 1]
      names[row] = A[at]
      call('DEL', key)
      for from = first, last, AT_ONCE do call(command, key, unpack(A, from, math.min(from + AT_ONCE - 1, last))) end
      call('EXPIREAT', key, expires)
      at = last + 1
    end
    call('SADD', set, unpack(names))
    call('EXPIREAT', set, expires)
  end
  return 1
end

redis.register_function('tokenway_analytics_v1_plan', plan)
redis.register_function('tokenway_analytics_v1_count', count)
redis.register_function('tokenway_analytics_v1_finish', finish)
redis.register_function('tokenway_analytics_v1_replace', replace)
