/* SPDX-License-Identifier: MIT
 *
 * complete_shell: the shell code of completions other than the functions of the commands. In the end parts, %s is the
 * list of commands, and a percent sign is doubled.
 */
#ifndef GODWIT_CLI_COMPLETE_SHELL_H
#define GODWIT_CLI_COMPLETE_SHELL_H

#define GW_BASH_BEGIN "# bash completion for godwit; printed by `godwit --completion bash`\n\n"

/* A command's function sets options, arguments (kinds), before and subs; and kind and choices for the option in $1, if that has a
 * value. bash replaces only the text after the last : or = of a word. */
#define GW_BASH_END                                                                                                          \
    "_godwit_sockets() {\n"                                                                                                  \
    "    local path\n"                                                                                                       \
    "    while IFS= read -r path; do\n"                                                                                      \
    "        [[ -S $path ]] && printf '%%s%%s\\n' \"$2\" \"$path\"\n"                                                        \
    "        [[ -d $path ]] && printf '%%s%%s/\\n' \"$2\" \"$path\"\n"                                                       \
    "    done < <(compgen -f -- \"$1\")\n"                                                                                   \
    "}\n"                                                                                                                    \
    "\n"                                                                                                                     \
    "_godwit_words() {\n"                                                                                                    \
    "    case $1 in\n"                                                                                                       \
    "        words) compgen -W \"$choices\" -- \"$2\" ;;\n"                                                                  \
    "        file) compgen -f -- \"$2\" ;;\n"                                                                                \
    "        folder) compgen -d -- \"$2\" ;;\n"                                                                              \
    "        user) compgen -u -- \"$2\" ;;\n"                                                                                \
    "        capability)\n"                                                                                                  \
    "            case $2 in\n"                                                                                               \
    "                *=*) compgen -P \"${2%%%%=*}=\" -W 'on off' -- \"${2#*=}\" ;;\n"                                        \
    "                *) compgen -W \"$_godwit_capabilities\" -- \"$2\" ;;\n"                                                 \
    "            esac ;;\n"                                                                                                  \
    "        parameter)\n"                                                                                                   \
    "            case $2 in\n"                                                                                               \
    "                *=*) compgen -W \"$_godwit_choices\" -- \"$2\" ;;\n"                                                    \
    "                *) compgen -S = -W \"$_godwit_parameters\" -- \"$2\" ;;\n"                                              \
    "            esac ;;\n"                                                                                                  \
    "        socket | uri)\n"                                                                                                \
    "            case $2 in\n"                                                                                               \
    "                unix:*) _godwit_sockets \"${2#unix:}\" unix: ;;\n"                                                      \
    "                file:*) compgen -P file: -f -- \"${2#file:}\" ;;\n"                                                     \
    "                *:*) ;;\n"                                                                                              \
    "                *)\n"                                                                                                   \
    "                    [[ $1 == socket ]] && _godwit_sockets \"$2\" '' && compgen -W 'unix: tcp:' -- \"$2\"\n"               \
    "                    [[ $1 == uri ]] && compgen -W 'tcp: unix: vsock: fd: exec: file:' -- \"$2\" ;;\n"                   \
    "            esac ;;\n"                                                                                                  \
    "    esac\n"                                                                                                             \
    "}\n"                                                                                                                    \
    "\n"                                                                                                                     \
    "_godwit_reply() {\n"                                                                                                    \
    "    local word before=$3\n"                                                                                             \
    "    [[ $2 == *[:=]* ]] && before+=${2%%\"${2##*[:=]}\"}\n"                                                              \
    "    while IFS= read -r word; do\n"                                                                                      \
    "        word=$3$word\n"                                                                                                 \
    "        case $before in *[:=]*) word=${word#\"$before\"} ;; esac\n"                                                     \
    "        COMPREPLY+=(\"$word\")\n"                                                                                       \
    "    done < <(_godwit_words \"$1\" \"$2\")\n"                                                                            \
    "    case $1 in\n"                                                                                                       \
    "        file | folder | socket) compopt -o filenames 2>/dev/null ;;\n"                                                  \
    "    esac\n"                                                                                                             \
    "    case $1 in\n"                                                                                                       \
    "        socket | uri) compopt -o nospace 2>/dev/null ;;\n"                                                              \
    "        parameter) [[ $2 == *=* ]] || compopt -o nospace 2>/dev/null ;;\n"                                              \
    "    esac\n"                                                                                                             \
    "}\n"                                                                                                                    \
    "\n"                                                                                                                     \
    "_godwit() {\n"                                                                                                          \
    "    local commands='%s' line=${COMP_LINE:0:COMP_POINT} cur='' word name='' asks='' count=0\n"                            \
    "    local options='' arguments='' before='' subs='' kind='' choices='' chosen='' i\n"                                   \
    "    local -a words=()\n"                                                                                                \
    "    COMPREPLY=()\n"                                                                                                     \
    "    read -ra words <<<\"$line\"\n"                                                                                      \
    "    if [[ $line != *[[:space:]] ]]; then\n"                                                                             \
    "        cur=${words[${#words[@]}-1]}\n"                                                                                 \
    "        unset 'words[${#words[@]}-1]'\n"                                                                                \
    "    fi\n"                                                                                                               \
    "    if ((${#words[@]} < 2)); then\n"                                                                                    \
    "        choices=\"$commands help --help --version\"\n"                                                                  \
    "        _godwit_reply words \"$cur\" ''\n"                                                                              \
    "        return\n"                                                                                                       \
    "    fi\n"                                                                                                               \
    "    name=${words[1]}\n"                                                                                                 \
    "    if [[ $name == help ]]; then\n"                                                                                     \
    "        choices=$commands\n"                                                                                            \
    "        if ((${#words[@]} > 2)); then\n"                                                                                \
    "            declare -F \"_godwit_${words[2]}\" >/dev/null || return\n"                                                  \
    "            \"_godwit_${words[2]}\" ''\n"                                                                               \
    "            choices=$subs\n"                                                                                            \
    "        fi\n"                                                                                                           \
    "        _godwit_reply words \"$cur\" ''\n"                                                                              \
    "        return\n"                                                                                                       \
    "    fi\n"                                                                                                               \
    "    declare -F \"_godwit_$name\" >/dev/null || return\n"                                                                \
    "    \"_godwit_$name\" ''\n"                                                                                             \
    "    for word in \"${words[@]:2}\"; do\n"                                                                                \
    "        if [[ $asks ]]; then\n"                                                                                         \
    "            asks=''\n"                                                                                                  \
    "            continue\n"                                                                                                 \
    "        fi\n"                                                                                                           \
    "        case $word in\n"                                                                                                \
    "            --*=*) ;;\n"                                                                                                \
    "            -?*)\n"                                                                                                     \
    "                kind=''\n"                                                                                              \
    "                \"_godwit_$name\" \"$word\"\n"                                                                          \
    "                [[ $kind ]] && asks=$word ;;\n"                                                                         \
    "            *)\n"                                                                                                       \
    "                if [[ $subs && (-z $before || $count -gt 0) ]]; then\n"                                                 \
    "                    declare -F \"_godwit_${name}_$word\" >/dev/null || return\n"                                        \
    "                    name+=_$word\n"                                                                                     \
    "                    \"_godwit_$name\" ''\n"                                                                             \
    "                    count=0\n"                                                                                          \
    "                else\n"                                                                                                 \
    "                    count=$((count + 1))\n"                                                                             \
    "                fi ;;\n"                                                                                                \
    "        esac\n"                                                                                                         \
    "    done\n"                                                                                                             \
    "    kind=''\n"                                                                                                          \
    "    if [[ $asks ]]; then\n"                                                                                             \
    "        \"_godwit_$name\" \"$asks\"\n"                                                                                  \
    "        _godwit_reply \"$kind\" \"$cur\" ''\n"                                                                          \
    "    elif [[ $cur == --*=* ]]; then\n"                                                                                   \
    "        \"_godwit_$name\" \"${cur%%%%=*}\"\n"                                                                           \
    "        _godwit_reply \"$kind\" \"${cur#*=}\" \"${cur%%%%=*}=\"\n"                                                      \
    "    elif [[ $cur == -?* || ($cur == - && ! $subs) ]]; then\n"                                                           \
    "        choices=$options\n"                                                                                             \
    "        _godwit_reply words \"$cur\" ''\n"                                                                              \
    "    elif [[ $subs && (-z $before || $count -gt 0) ]]; then\n"                                                           \
    "        choices=$subs\n"                                                                                                \
    "        _godwit_reply words \"$cur\" ''\n"                                                                              \
    "    elif [[ $subs ]]; then\n"                                                                                           \
    "        _godwit_reply \"$before\" \"$cur\" ''\n"                                                                        \
    "    else\n"                                                                                                             \
    "        for word in $arguments; do\n"                                                                                   \
    "            if [[ $word == \\** ]] || ((count == 0)); then\n"                                                           \
    "                _godwit_reply \"${word#\\*}\" \"$cur\" ''\n"                                                            \
    "                return\n"                                                                                               \
    "            fi\n"                                                                                                       \
    "            count=$((count - 1))\n"                                                                                     \
    "        done\n"                                                                                                         \
    "    fi\n"                                                                                                               \
    "}\n"                                                                                                                    \
    "\n"                                                                                                                     \
    "complete -F _godwit godwit\n"

#define GW_ZSH_BEGIN                                                                                                         \
    "#compdef godwit\n"                                                                                                      \
    "# zsh completion for godwit; printed by `godwit --completion zsh`\n"                                                    \
    "\n"                                                                                                                     \
    "_godwit-socket() {\n"                                                                                                   \
    "    if compset -P unix:; then\n"                                                                                        \
    "        _files -g '*(=,-/)'\n"                                                                                          \
    "    elif ! compset -P '*:'; then\n"                                                                                     \
    "        _files -g '*(=,-/)'\n"                                                                                          \
    "        compadd -S '' unix: tcp:\n"                                                                                     \
    "    fi\n"                                                                                                               \
    "}\n"                                                                                                                    \
    "\n"                                                                                                                     \
    "_godwit-uri() {\n"                                                                                                      \
    "    if compset -P unix:; then\n"                                                                                        \
    "        _files -g '*(=,-/)'\n"                                                                                          \
    "    elif compset -P file:; then\n"                                                                                      \
    "        _files\n"                                                                                                       \
    "    elif ! compset -P '*:'; then\n"                                                                                     \
    "        compadd -S '' tcp: unix: vsock: fd: exec: file:\n"                                                              \
    "    fi\n"                                                                                                               \
    "}\n"                                                                                                                    \
    "\n"                                                                                                                     \
    "_godwit-capability() {\n"                                                                                               \
    "    if compset -P '*='; then\n"                                                                                         \
    "        compadd -- on off\n"                                                                                            \
    "    else\n"                                                                                                             \
    "        compadd -- ${=_godwit_capabilities}\n"                                                                          \
    "    fi\n"                                                                                                               \
    "}\n"                                                                                                                    \
    "\n"                                                                                                                     \
    "_godwit-parameter() {\n"                                                                                                \
    "    local -a choices=(${=_godwit_choices})\n"                                                                           \
    "    if [[ $PREFIX == *=* ]]; then\n"                                                                                    \
    "        compadd -- ${(M)choices:#${PREFIX%%=*}=*}\n"                                                                     \
    "    else\n"                                                                                                             \
    "        compadd -S = -- ${=_godwit_parameters}\n"                                                                       \
    "    fi\n"                                                                                                               \
    "}\n"                                                                                                                    \
    "\n"                                                                                                                     \
    "_godwit-call() {\n"                                                                                                     \
    "    (( $+functions[$1] )) && $1\n"                                                                                      \
    "}\n"                                                                                                                    \
    "\n"

#define GW_ZSH_END                                                                                                           \
    "_godwit() {\n"                                                                                                          \
    "    local curcontext=$curcontext state line\n"                                                                          \
    "    _arguments -C '1:command:(%s help)' '*::argument:->rest'\n"                                                         \
    "    [[ $state == rest ]] && _godwit-call _godwit_$words[1]\n"                                                           \
    "}\n"                                                                                                                    \
    "\n"                                                                                                                     \
    "_godwit \"$@\"\n"

#endif
