// What alerts, rules and dashboards share.
{
  // A metric of the gateway's, with the selector and further matchers.
  metric(selector, name, more=''):: 'zenmux_gateway_%s{%s}' % [name, std.join(',', std.filter(function(part) part != '', [selector, more]))],

  alert(config, name, severity, expr, summary, description, wait=null):: {
    alert: 'ZenmuxGateway' + name,
    expr: expr,
    [if wait != null then 'for']: wait,
    labels: { severity: severity },
    annotations: {
      summary: summary,
      description: description,
      runbook_url: '%s#zenmuxgateway%s' % [config.runbookBase, std.asciiLower(name)],
    },
  },

  // By how much each series of a counter grew within the window. A series begins with its first events, at 1 or at 8, and
  // `increase` cannot see that step: hence the first part, the whole value of a series that was not there before. It looks
  // at ten minutes before the window, so that a scrape that failed just then makes no series a new one.
  grown(selector, name, more, window):: |||
    (%(counted)s unless max_over_time(%(counted)s[10m] offset %(window)s) or increase(%(counted)s[%(window)s]))
  ||| % { window: window, counted: $.metric(selector, name, more) },

  // Something has happened within the window, more often than `moreThan`.
  happened(selector, by, name, more, window, moreThan=0)::
    'sum by (%s) %s > %d' % [by, $.grown(selector, name, more, window), moreThan],

  // Folded to one line, as it stands in the rendered files.
  line(text):: std.join(' ', std.filter(function(word) word != '', std.split(std.strReplace(text, '\n', ' '), ' '))),
}
