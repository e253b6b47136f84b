# Ruby's net/http through the proxy. Arguments: the API's base at the proxy, and a step.
require "json"
require "net/http"

base, step = ARGV

def get(url)
  answer = Net::HTTP.get_response(URI(url))
  raise "#{answer.code}: #{answer.body}" unless answer.is_a?(Net::HTTPOK)
  JSON.parse(answer.body)
end

case step
when "one"
  get("#{base}/events?page_size=1")
when "upload"
  answer = Net::HTTP.post(URI("#{base}/uploads"), "x" * 100_000)
  raise answer.body unless JSON.parse(answer.body)["size"] == 100_000
when "paging"
  url, seen = "#{base}/events?page_size=10", 0
  while url
    page = get(url)
    seen += page["results"].length
    url = page["next"]
  end
  raise seen.to_s unless seen == 25
when "fifty"
  Array.new(50) { Thread.new { get("#{base}/events") } }.each(&:join)
end
