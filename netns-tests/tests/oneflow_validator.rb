# What OpenNebula's own validator says of service templates: validator.rb ONE_DIR FILE...
# For each file a line: "ok", or why it is refused.
require 'json'
require 'time'

module OpenNebula
  # Talks to oned; no rule needs it.
  class DocumentJSON; end

  class Error < StandardError; end

  def self.is_error?(result)
    result.is_a?(Error)
  end
end

module Kernel
  alias require_of_ruby require

  def require(name)
    name == 'opennebula/document_json' || require_of_ruby(name)
  end
end

$LOAD_PATH.unshift("#{ARGV.shift}/src/oca/ruby")
require 'treetop/runtime'
require 'opennebula/flow/grammar'
require 'opennebula/flow/service_template'
require 'opennebula/flow/validator'

ARGV.each do |file|
  OpenNebula::ServiceTemplate.validate(JSON.parse(File.read(file)))
  puts 'ok'
rescue StandardError => e
  puts "#{e.class}: #{e.message.tr("\n", ' ')}"
end
