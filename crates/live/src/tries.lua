-- Two sliding windows of tries, one per account and one per address, in sorted sets by Redis' clock: a try counts from the
-- moment it begins, so tries at the same time cannot pass together.
-- KEYS account, address; ARGV: window in microseconds, limit of the account, limit of the address, name of the try
-- Returns: allowed (0 or 1), microseconds until there is room
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local window = tonumber(ARGV[1])
local wait = 0
for place = 1, 2 do
  local limit = tonumber(ARGV[1 + place])
  redis.call('ZREMRANGEBYSCORE', KEYS[place], '-inf', string.format('%.0f', now - window))
  local over = redis.call('ZCARD', KEYS[place]) - limit
  if over >= 0 then
    local last = redis.call('ZRANGE', KEYS[place], over, over, 'WITHSCORES')
    wait = math.max(wait, tonumber(last[2]) + window - now)
  end
end
if wait > 0 then
  return {0, wait}
end
for place = 1, 2 do
  redis.call('ZADD', KEYS[place], string.format('%.0f', now), ARGV[4])
  redis.call('PEXPIRE', KEYS[place], math.ceil(window / 1000) + 1)
end
return {1, 0}
