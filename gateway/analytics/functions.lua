#!lua name=tokenway_analytics_v1
-- Counters of analytics, see analytics/consumer.py. The cursor is moved first: a batch is never counted twice, even if this breaks off.
local function call(...) return redis.call(...) end -- redis.call itself does not exist at load time either

-- KEYS cursor | ARGV before after changes; changes: msgpack of {rows, hashes, seen, seen_ttl_s}
local function count(K, A)
  if (call('GET', K[1]) or '0-0') ~= A[1] then return 0 end
  local rows, hashes, seen, ttl = unpack(cmsgpack.unpack(A[3]))
  call('SET', K[1], A[2])
  for _, row in ipairs(rows) do
    local key, set, name, expires, fields, users = unpack(row)
    if #fields > 0 then call('HSET', key, unpack(fields)) end
    if #users > 0 then call('PFADD', key, unpack(users)) end
    if expires > 0 then
      call('SADD', set, name)
      call('EXPIREAT', set, expires)
      call('EXPIREAT', key, expires)
    end
  end
  for _, each in ipairs(hashes) do call('HINCRBY', each[1], each[2], each[3]) end
  for _, each in ipairs(seen) do call('SET', each[1], each[2], 'EX', ttl) end
  return 1
end

redis.register_function('tokenway_analytics_v1_count', count)
