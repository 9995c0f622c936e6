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

  // Something has happened within the window, more often than `moreThan`. A counter's series begins with its first event,
  // at 1, and `increase` cannot see that step: hence the second part, a series that was not there before.
  happened(selector, by, name, more, window, moreThan=0):: |||
    sum by (%(by)s) (increase(%(counted)s[%(window)s])) > %(moreThan)d
    or sum by (%(by)s) (%(counted)s unless %(counted)s offset %(window)s) > %(moreThan)d
  ||| % { by: by, window: window, moreThan: moreThan, counted: $.metric(selector, name, more) },

  // Folded to one line, as it stands in the rendered files.
  line(text):: std.join(' ', std.filter(function(word) word != '', std.split(std.strReplace(text, '\n', ' '), ' '))),
}
