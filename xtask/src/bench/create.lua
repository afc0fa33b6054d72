-- Creates connections with 1 KiB of details. No name comes twice: the argument tells one run from another.

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("id", threads)
end

function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  prefix = '{"name":"created-' .. arguments[1] .. "-" .. id .. "-"
  rest = '","type":"KAFKA","details":{"secret":"' .. string.rep("x", 1024 - #'{"secret":""}') .. '"}}'
  count = 0
end

function request()
  count = count + 1
  return wrk.format(nil, nil, nil, prefix .. count .. rest)
end
